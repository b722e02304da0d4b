"""The error of a deployment."""

from contracts.errors import UserError


class DeployError(UserError):
    """The stack could not be deployed; the message says what is wrong and what to look at."""
