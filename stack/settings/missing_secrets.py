"""Which secrets a stack lacks, and the commands that set them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from contracts import secret_keys
from stack.settings.errors import SettingsError
from stack.settings.tree import Settings

# Letters and digits alone, as `postgresPassword` needs. The value is on no command line, and in no shell's history.
_GENERATE: Final = "openssl rand -hex 24 | "


def needed_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the keys of the secrets without which the stack cannot be deployed."""
    return (*secret_keys.GENERATED, *settings.needed_secrets)


def require_configured_secrets(stack: str, settings: Settings, configured: Collection[str]) -> None:
    """Raise an error that lists every missing secret.

    Args:
        stack: its name.
        settings: its settings.
        configured: keys of the secrets in Pulumi's configuration.

    Raises:
        SettingsError: a secret is missing; the message has the command that sets it.
    """
    if missing := [key for key in needed_secrets(settings) if key not in configured]:
        number = f"{len(missing)} secrets are" if len(missing) > 1 else "a secret is"
        raise SettingsError(
            "\n  ".join(
                [
                    f"stack {stack}: {number} missing: {', '.join(missing)}. Nothing was changed. Set each of them:",
                    *commands(stack, missing),
                ]
            )
        )


def commands(stack: str, keys: Iterable[str]) -> Sequence[str]:
    """Return the commands that set secrets: to random values, or to values that another system issues."""
    return [
        f"{_GENERATE if key in secret_keys.RANDOM else ''}pulumi config set --secret {key} -s {stack}" for key in keys
    ]
