"""Failures that an adapter reports to its callers."""


class Unavailable(Exception):
    """A dependency (broker, database, another service) does not answer. The same work may succeed later."""

    def __init__(self, message: str, reason: str = "") -> None:
        """Describes the failure.

        Args:
            message: for users too, such as `Kafka is unavailable`.
            reason: for logs and traces alone; it may name addresses and roles.
        """
        super().__init__(f"{message} ({reason})" if reason else message)
        self.message = message


class Rejected(Exception):
    """No retry will help: a message with this failure is dead-lettered.

    The text names fields and reasons, never values.
    """


class Misdirected(Rejected):
    """A message for an unknown task, or for another task than its id says. No task ends because of it."""


class MalformedMessage(Rejected):
    """A message that cannot be read."""
