"""Missing secrets are named all at once, each with the command that sets it."""

import pulumi
import pytest

from contracts import secret_keys
from stack.settings import PROJECT, SettingsError
from stack.settings.engine import from_engine
from tests.support.configuration import config, passed_by_the_engine

ALERTING = {"page": {"slack": True}, "heartbeatMinutes": 5}


def refusal(*configured: str) -> str:
    """Return the message of the program without the other secrets."""
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in configured}
    with (
        passed_by_the_engine({**config(alerting=ALERTING), **secrets}, secrets),
        pytest.raises(SettingsError) as caught,
    ):
        from_engine()
    return str(caught.value)


def test_all_missing_secrets_are_named_at_once_with_their_commands() -> None:
    stack = pulumi.get_stack()
    summary, *lines = refusal().splitlines()
    assert summary.startswith(f"stack {stack}: 8 secrets are missing: postgresPassword, ")
    generated = [
        f"  openssl rand -hex 24 | pulumi config set --secret {key} -s {stack}" for key in secret_keys.GENERATED
    ]
    issued = [f"  pulumi config set --secret {key} -s {stack}" for key in ("alertPageSlackUrl", "alertHeartbeatUrl")]
    assert lines == [*generated, *issued]


def test_secrets_that_are_set_are_not_named() -> None:
    message = refusal(*secret_keys.GENERATED, "alertHeartbeatUrl")
    assert message.startswith(
        f"stack {pulumi.get_stack()}: a secret is missing: alertPageSlackUrl. Nothing was changed."
    )
    assert "value-of" not in message
