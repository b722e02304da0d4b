"""The error of wrong settings."""

from collections.abc import Iterable

from contracts.errors import UserError


class SettingsError(UserError):
    """The settings cannot be used; the message names the file, each key, its value and what is allowed."""

    @classmethod
    def of(cls, source: str, problems: Iterable[str]) -> "SettingsError":
        """Return the error that lists all problems of a source, a line each."""
        return cls("\n  ".join([f"{source}: the settings cannot be used:", *problems]))
