"""The base of all errors that a user can act on."""


class UserError(Exception):
    """Something that the user can put right; the message says what is wrong and what to do.

    The command line prints the message without a traceback, and the Pulumi program raises it as `pulumi.RunError`,
    which Pulumi prints in the same way. Any other exception is a bug and keeps its traceback.
    """
