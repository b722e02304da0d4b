"""Pulumi configurations, and the messages with which they are refused."""

from typing import Any

import pytest

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
