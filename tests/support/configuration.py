"""Pulumi configurations, and the messages with which they are refused."""

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest
from pulumi.runtime import config as engine_config

from stack.settings import PROJECT, SettingsError, parse

MINIMAL: dict[str, Any] = {"environment": "test", "cluster": {"context": "c"}, "images": {"service": "service:1"}}


def config(**sections: Any) -> dict[str, Any]:
    """Return the configuration of a small stack with these sections."""
    return {f"{PROJECT}:{key}": value for key, value in {**MINIMAL, **sections}.items()}


def refusal(**sections: Any) -> str:
    """Return the message with which these sections are refused."""
    with pytest.raises(SettingsError) as caught:
        parse(config(**sections), "Pulumi.test.yaml")
    return str(caught.value)


@contextlib.contextmanager
def passed_by_the_engine(config: Mapping[str, Any], encrypted: Collection[str]) -> Iterator[None]:
    """Passes a configuration to the program as the engine does: as texts, in the environment.

    Args:
        config: `project:key` → value.
        encrypted: keys whose values the engine has decrypted.
    """
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    previous = (engine_config.CONFIG.get(), engine_config._SECRET_KEYS.get())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG", json.dumps(texts))
        patch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(sorted(encrypted)))
        engine_config.set_all_config({}, [])
        try:
            yield
        finally:
            engine_config.set_all_config(previous[0], list(previous[1]))
