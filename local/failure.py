"""The error of the local cluster that a user can act on."""

from contracts.errors import UserError


class Failure(UserError):
    """A problem of this machine or of a command. The message says what is wrong and what to do."""
