"""Failures that cross the border between an adapter and what uses it."""


class Unavailable(Exception):
    """A dependency is away (broker, database, another service). The work is good and worth another try later."""


class Rejected(Exception):
    """No retry will help. The text names fields and reasons, never their values; a message goes to the dead letters."""


class Misdirected(Rejected):
    """A message about no task of ours, or about another one than its id says. No task ends with it."""


class MalformedMessage(Rejected):
    """A message that cannot be read."""
