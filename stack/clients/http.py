"""GET requests to the query APIs of the stores."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

SECONDS: Final = 20.0
"""The time that a store has to answer, in s."""

Get = Callable[..., httpx.Response]
"""`httpx.get`, or the `get` of an `httpx.Client`, which keeps connections and credentials."""


class QueryError(httpx.HTTPError):
    """A store did not answer a query; the message holds the first part of what it answered instead."""


def get_json(get: Get, url: str, params: Mapping[str, Any] | None = None, *, seconds: float = SECONDS) -> Any:
    """Returns the JSON of a GET request.

    Raises:
        QueryError: no answer, an error, or no JSON.
    """
    try:
        answer = get(url, params=params, headers={"Accept": "application/json"}, timeout=seconds)
    except (httpx.HTTPError, httpx.InvalidURL) as error:  # a query can be too long for a URL
        raise QueryError(f"{type(error).__name__}: {error}") from error
    return json_of(answer)


def json_of(answer: httpx.Response) -> Any:
    """Returns the JSON of an answer.

    Raises:
        QueryError: the answer is an error, or no JSON.
    """
    if not answer.is_success:
        raise QueryError(f"{answer.status_code}: {answer.text[:300]}")
    try:
        return answer.json()
    except ValueError:
        raise QueryError(f"not JSON: {answer.text[:100]}") from None
