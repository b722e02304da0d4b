"""The section `postgres` of the settings."""

from stack.components.shared.settings import Stateful


class Postgres(Stateful):
    """The database of the tasks."""
