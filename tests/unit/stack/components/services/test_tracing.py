"""The stack's tracing settings are those of the library, with the same variables."""

import pytest

from lean_tracing import SettingsError, TracingSettings
from stack.components.services.tracing import Tracing

CHANGED = Tracing(enabled=False, sampling_rate=0.5, sampling_rules="GET /a=0.10 , topic:*=1", attributes_filter="url.*")


@pytest.mark.parametrize("tracing", [Tracing(), CHANGED])
def test_settings_come_back_from_the_variables_that_they_become(tracing: Tracing) -> None:
    assert Tracing.from_env({**tracing.to_env(), "TRACING_HASH_KEY": "x", "PORT": "80"}) == tracing


def test_every_key_is_a_variable_of_the_library_with_the_same_default() -> None:
    defaults = TracingSettings()
    assert list(Tracing().to_env()) == [f"TRACING_{key.upper()}" for key in Tracing.model_fields]
    assert Tracing().model_dump() == {key: getattr(defaults, key) for key in Tracing.model_fields}
    assert Tracing.from_env({}) == Tracing()


@pytest.mark.parametrize(
    "change",
    [
        {"timeout_ms": 99},
        {"timeout_ms": 600_001},
        {"max_request_bytes": 65_535},
        {"max_request_bytes": 8 * 2**20 + 1},
        {"sampling_rate": float("nan")},
        {"sampling_rules": "topic"},
        {"attributes_filter": "a b"},
        {"baggage_entries": "a b"},
        {"max_batch_size": 4_096},
    ],
)
def test_limits_are_those_of_the_library_or_narrower(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change)).split("_")[0]):
        Tracing.model_validate(change)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="TRACING_DELAY_MS='x' is not valid"):
        Tracing.from_env({"TRACING_DELAY_MS": "x"})
