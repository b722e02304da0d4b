"""What a deployment ends with that does not succeed."""

import json

from kubernetes.client import ApiException

from contracts.errors import UserError


class DeployError(UserError):
    """The stack could not be deployed; the message says what is wrong and what to look at."""


def reason(error: ApiException) -> str:
    """What the API server says of a request that it refused."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
