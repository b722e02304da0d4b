"""Reads the settings of a stack from its stack file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from contracts.metadata import LOCAL_CONTEXT, PROJECT
from stack.settings.configuration import parse, refuse_secrets_in_clear
from stack.settings.errors import SettingsError
from stack.settings.lookup import fields_of
from stack.settings.tree import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
"""Folder of the repository."""
OVERLAY: Final = Path(".local/overlay.yaml")
"""The settings that `make up` found on this machine: a stack file, below `ROOT`, laid over those of local stacks."""
_PULUMI_KEYS: Final = {"environment"}
"""Settings whose names are also top-level keys of Pulumi's own stack files."""


def load(stack: str) -> Settings:
    """Return the settings of a stack from its file, outside of the Pulumi engine.

    Raises:
        SettingsError: there is no such stack, or its settings cannot be used.
    """
    refuse_secrets_in_clear(_project_config(), "Pulumi.yaml")
    return parse(effective_config(stack), f"Pulumi.{stack}.yaml")


def load_here(stack: str) -> Settings:
    """Return the settings of a stack for a command that a person runs.

    Raises:
        SettingsError: as `load`; or the stack is on the local cluster, and `make up` has not run in this clone.
    """
    settings = load(stack)
    if is_without_overlay(stack):
        raise SettingsError(
            f"stack {stack} is on the cluster that `make up` creates, and this clone has no {OVERLAY}, which describes "
            "that cluster: run `make up` in this clone first"
        )
    return settings


def is_without_overlay(stack: str) -> bool:
    """Whether a stack is on the local cluster, and `make up` has not run in this clone."""
    return _is_local(_read(stack_file(stack))) and not (ROOT / OVERLAY).is_file()


def stack_file(stack: str) -> Path:
    """Return the path of `Pulumi.<stack>.yaml`.

    Raises:
        SettingsError: there is no such stack; the message lists the known ones.
    """
    path = ROOT / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml")))
        raise SettingsError(f"there is no stack {stack!r} (no Pulumi.{stack}.yaml); known stacks: {known}")
    return path


def overlay_file(stack: str) -> Path | None:
    """Return the overlay of a stack; None if the stack is not on the local cluster, or `make up` has not run.

    Raises:
        SettingsError: as `effective_config`.
    """
    overlay = ROOT / OVERLAY
    return overlay if _is_local(_read(stack_file(stack))) and overlay.is_file() else None


def _is_local(config: Mapping[str, Any]) -> bool:
    """Whether a stack with this configuration is on the cluster that `make up` creates."""
    cluster = config.get(f"{PROJECT}:cluster")
    return isinstance(cluster, dict) and cluster.get("context") == LOCAL_CONTEXT


def effective_config(stack: str) -> dict[str, Any]:
    """Return the configuration in a stack's file, with the overlay of the local cluster.

    Raises:
        SettingsError: there is no such stack, or a file is no stack file.
    """
    config = _read(stack_file(stack))
    if overlay := overlay_file(stack):
        for key, value in _read(overlay).items():
            config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    return config


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, as Pulumi does: YAML would silently ignore all values but the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if duplicates := sorted({str(key) for key in keys if keys.count(key) > 1}):
            second = next(key for number, (key, _) in enumerate(node.value) if key.value in keys[:number])
            message = f"{', '.join(duplicates)}: more than once"
            raise yaml.constructor.ConstructorError(None, None, message, second.start_mark)
        return super().construct_mapping(node, deep)


def _project_config() -> dict[str, Any]:
    """Return what `Pulumi.yaml` sets for all stacks; Pulumi lays the stack's file over it."""
    file = ROOT / "Pulumi.yaml"
    document = yaml.load(file.read_text(), _Loader) if file.is_file() else {}
    return {
        key: value.get("value", value.get("default")) if isinstance(value, dict) and "secure" not in value else value
        for key, value in (document.get("config") or {}).items()
    }


def _read(path: Path) -> dict[str, Any]:
    """Return the `config:` of a stack file."""
    try:
        document = yaml.load(path.read_text(), _Loader)
        config = document["config"]
        if not isinstance(config, dict):
            raise TypeError
        if others := [key for key in (*document, *config) if not isinstance(key, str)]:
            raise TypeError(f"the key {others[0]} is no text")
        json.dumps(config, default=str)  # the engine passes it as JSON, which has no alias of itself
    # ValueError: also bytes that are not UTF-8, and numbers that are too long. RecursionError: too many levels.
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path.name}: not a stack file with a `config:` mapping ({error})") from None
    own = fields_of(Settings).keys() - _PULUMI_KEYS
    if outside := [key for key in document if key.startswith(f"{PROJECT}:") or key in own]:
        raise SettingsError(f"{path.name}: {', '.join(outside)}: has no effect outside of `config:`; move it there")
    return config
