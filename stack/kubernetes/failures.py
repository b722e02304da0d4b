"""Errors between a program and the cluster, as messages for a user.

The module imports no SDK, so that a command line that never asks the cluster does not wait for that import.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from stack.errors import DeployError


def api_message(error: Any) -> str:
    """Return the API server's reason for refusing a request, from an `ApiException`."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def cluster_problem(error: BaseException) -> str | None:
    """Return what went wrong between this program and the cluster; None if the error is of another kind."""
    # Only a program that has imported these libraries can raise their errors.
    kubernetes, urllib3, httpx = map(sys.modules.get, ("kubernetes", "urllib3", "httpx"))
    if kubernetes and isinstance(error, kubernetes.client.ApiException):
        return f"the API server refused a request: {api_message(error)}"
    if httpx and isinstance(error, httpx.HTTPError):
        return f"a program of the stack did not answer ({type(error).__name__})"
    # An OSError with a file name is about a file of this machine.
    is_of_connection = isinstance(error, OSError) and error.filename is None
    if is_of_connection or (urllib3 and isinstance(error, urllib3.exceptions.HTTPError)):
        return f"the cluster stopped answering ({type(error).__name__})"
    return None


@contextlib.contextmanager
def request_errors(remedy: str) -> Iterator[None]:
    """Turns the errors of requests to the cluster into errors that a user can act on.

    Args:
        remedy: What to do, appended to the message.

    Raises:
        DeployError: The API server refused a request, or the cluster stopped answering.
    """
    try:
        yield
    except Exception as error:
        if (problem := cluster_problem(error)) is None:
            raise
        raise DeployError(f"{problem}. {remedy}") from error
