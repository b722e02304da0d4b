"""The error of a rollout."""

from contracts.errors import UserError


class RolloutError(UserError):
    """The rollout cannot start or continue; the message says why and what to do."""
