"""Settings: defaults of the requirements, and one clear message for what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.task_manager.config import TaskManagerSettings
from service.tracing import SettingsError, TracingSettings, from_environment


def test_defaults_are_those_of_the_requirements() -> None:
    settings = from_environment(TracingSettings, {})
    assert (settings.max_queue_size, settings.max_batch_size) == (2048, 512)
    assert (settings.delay_ms, settings.timeout_ms) == (5000, 30000)
    assert settings.enabled
    assert settings.sampling_rate == 1.0


def test_environment_is_read() -> None:
    settings = from_environment(
        TracingSettings,
        {
            "TRACING_ENABLED": "false",
            "TRACING_SAMPLING_RATE": "0.25",
            "TRACING_MAX_QUEUE_SIZE": "",  # empty counts as unset
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
            "OTEL_SERVICE_NAME": "gateway",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=dev, service.version=1%2C2",
            "UNRELATED": "x",
        },
    )
    assert not settings.active
    assert settings.sampling_rate == 0.25
    assert settings.max_queue_size == 2048
    assert settings.resource_attributes == {"deployment.environment.name": "dev", "service.version": "1,2"}


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TRACING_ENABLED", "perhaps", "true or false"),
        ("TRACING_SAMPLING_RATE", "1.5", "a number from 0 to 1"),
        ("TRACING_SAMPLING_RATE", "nan", "a number from 0 to 1"),
        ("TRACING_MAX_QUEUE_SIZE", "0", "1 to 1000000"),
        ("TRACING_MAX_BATCH_SIZE", "4096", "at most TRACING_MAX_QUEUE_SIZE, which is 2048"),
        ("TRACING_DELAY_MS", "-1", "1 to 600000"),
        ("TRACING_TIMEOUT_MS", "soon", "1 to 600000"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "an http or https URL"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:port", "an http or https URL"),
        ("OTEL_RESOURCE_ATTRIBUTES", "no-equals-sign", "key=value"),
    ],
)
def test_wrong_value_names_variable_value_and_range(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as error:
        from_environment(TracingSettings, {variable: value})
    message = str(error.value)
    assert f"{variable}=" in message
    assert value in message
    assert expected in message
    assert "\n" not in message


def test_all_wrong_values_come_in_one_message_and_secrets_are_hidden() -> None:
    with pytest.raises(SettingsError) as error:
        from_environment(TracingSettings, {"TRACING_HASH_KEY": "short", "TRACING_DELAY_MS": "x"})
    assert "TRACING_HASH_KEY=(hidden)" in str(error.value)
    assert "TRACING_DELAY_MS='x'" in str(error.value)
    assert "short" not in str(error.value)


def test_missing_value_is_named() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set: expected a SQLAlchemy URL"):
        from_environment(TaskManagerSettings, {})


@given(st.dictionaries(st.sampled_from([f.alias or "" for f in TracingSettings.model_fields.values()]), st.text()))
def test_any_environment_is_accepted_or_refused_clearly(environ: dict[str, str]) -> None:
    try:
        from_environment(TracingSettings, environ)
        refusal = None
    except SettingsError as error:
        refusal = str(error)
    assert refusal is None or any(name in refusal for name in environ)
