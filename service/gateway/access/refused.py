"""The refusal of a request."""

from contracts.access import Refusal


class Refused(Exception):
    """A request is refused, for a reason that its span and the metrics have, and the caller does not learn."""

    def __init__(self, reason: Refusal, retry_seconds: float | None = None) -> None:
        """Describes the refusal; retry_seconds: when another request will be admitted, if that is known."""
        super().__init__(reason)
        self.reason = reason
        self.retry_seconds = retry_seconds
