"""Failures that cross the border between an adapter and what uses it."""


class Unavailable(Exception):
    """A dependency is away (broker, database, another service). The work is good and worth another try later."""


class Rejected(Exception):
    """No retry will help. The text names fields and reasons, never their values; a message goes to the dead letters."""


class MalformedMessage(Rejected):
    """A message that cannot be read."""
