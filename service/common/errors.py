"""Failures that cross the border between an adapter and what uses it."""


class Unavailable(Exception):
    """A dependency is away (broker, database, another service). The work is good and worth another try later."""


class MalformedMessage(Exception):
    """A message that no retry will make readable. The text names fields and reasons, never their values."""
