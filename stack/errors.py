"""What a deployment ends with that does not succeed."""

import json

import pulumi
from kubernetes.client import ApiException


class DeployError(pulumi.RunError):
    """The stack could not be deployed; the message says what is wrong and what to look at.

    Pulumi prints a RunError without a traceback.
    """


def reason(error: ApiException) -> str:
    """What the API server says of a request that it refused."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
