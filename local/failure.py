"""The one exception that a person is meant to read."""

from contracts.errors import UserError


class Failure(UserError):
    """Something is wrong that a person can act on: the message says what it is and what to do.

    Command lines print it plainly and exit with 1; any other exception is a bug and keeps its traceback.
    """
