"""Reads the settings of the running Pulumi program. The only module of this package that imports Pulumi."""

import pulumi
from pulumi.runtime import config as engine_config

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.settings.configuration import parse
from stack.settings.missing_secrets import require_configured_secrets
from stack.settings.tree import Settings


def from_engine() -> Settings:
    """Return the settings that the Pulumi engine, or its mock, passes to the program.

    Raises:
        SettingsError: the settings cannot be used, or secrets are missing.
    """
    # The engine passes the keys through the environment, the mocks through the variable; `Config` cannot list either.
    config = {**engine_config.get_config_env(), **engine_config.CONFIG.get()}
    encrypted = {*engine_config.get_config_secret_keys_env(), *filter(engine_config.is_config_secret, config)}
    stack = pulumi.get_stack()
    settings = parse(config, f"stack {stack}", encrypted)
    require_configured_secrets(stack, settings, {key.removeprefix(f"{PROJECT}:") for key in config})
    return settings


def secrets_from_engine() -> dict[str, pulumi.Output[str]]:
    """Return the secrets of Pulumi's configuration, by their keys."""
    config = pulumi.Config()
    return {key: value for key in secret_keys.ALL if (value := config.get_secret(key)) is not None}
