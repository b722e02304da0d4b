"""Makes settings of a Pulumi configuration, or lists everything that is wrong with it."""

import difflib
import json
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.settings import exposed_secrets, problems, sizing
from stack.settings.errors import SettingsError
from stack.settings.lookup import setting_names
from stack.settings.tree import Settings


def parse(config: Mapping[str, Any], source: str, encrypted: Collection[str] = ()) -> Settings:
    """Return the settings in a Pulumi configuration.

    Args:
        config: `project:key` → value, as in a stack file's `config:` or from the engine, which passes objects as JSON.
        source: the file or the engine that the configuration comes from, for the error message.
        encrypted: keys whose values the engine has decrypted; a file has `secure:` there.

    Raises:
        SettingsError: lists every wrong key with its value and what is allowed, and every secret in clear.
    """
    refuse_secrets_in_clear(config, source, encrypted)
    misplaced = [problems.describe_without_prefix(key, value) for key, value in config.items() if _lacks_prefix(key)]
    prefix = f"{PROJECT}:"
    own = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    tree = {key: _decode(value) for key, value in own.items() if key not in secret_keys.ALL}
    try:
        settings = Settings.model_validate(tree, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SettingsError.of(source, [*misplaced, *map(problems.describe, error.errors())]) from None
    if mistakes := [*misplaced, *sizing.problems(settings)]:
        raise SettingsError.of(source, mistakes)
    return settings


def refuse_secrets_in_clear(config: Mapping[str, Any], source: str, encrypted: Collection[str] = ()) -> None:
    """Raise an error that lists every secret in clear.

    Args:
        config: as in `parse`.
        source: as in `parse`.
        encrypted: as in `parse`.

    Raises:
        SettingsError: the configuration holds a secret in clear.
    """
    decoded = {key: _decode(value) for key, value in config.items()}
    if exposed := list(exposed_secrets.problems(decoded, PROJECT, setting_names(), encrypted)):
        raise SettingsError.of(source, exposed)


def _decode(value: Any) -> Any:
    """Return the object in a JSON text, as the engine passes it; other texts stay as they are."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            return value  # the validation then refuses the text
    return value


def _lacks_prefix(key: str) -> bool:
    """Return whether no program reads the key: it has no namespace, or this project's, misspelt."""
    namespace, colon, _ = key.partition(":")
    return not colon or (namespace != PROJECT and bool(difflib.get_close_matches(namespace, [PROJECT], cutoff=0.8)))
