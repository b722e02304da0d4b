"""Settings from environment variables: typed, frozen, and refused at start with one clear message when wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

Model = TypeVar("Model", bound="EnvironmentSettings")


class SettingsError(ValueError):
    """The environment holds values a service cannot start with; the message names each variable, value and range."""


class EnvironmentSettings(BaseModel):
    """Base of all settings: a field's alias is its environment variable, its description the range it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


def from_environment(
    model: type[Model], environ: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] | None = None
) -> Model:
    """Reads `model` from `environ` (the process's own when None).

    An empty variable counts as unset, as OpenTelemetry prescribes. `defaults` are by variable name and give way to the
    environment. Raises SettingsError with every wrong variable in one message.
    """
    found = {
        **(defaults or {}),
        **{name: value for name, value in (os.environ if environ is None else environ).items() if value.strip()},
    }
    variables = {field.alias or name: field for name, field in model.model_fields.items()}
    values = {name: found[name].strip() for name in variables if name in found}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_context=False):
            variable = str(problem["loc"][0]) if problem["loc"] else ""
            if variable not in variables:
                lines.append(problem["msg"].removeprefix("Value error, "))
                continue
            field = variables[variable]
            expected = field.description or problem["msg"]
            if variable not in values:
                lines.append(f"{variable} is not set: expected {expected}")
                continue
            # A secret's value must not reach a log, wrong or not.
            shown = "(hidden)" if field.annotation in (SecretStr, SecretStr | None) else repr(values[variable])
            lines.append(f"{variable}={shown} is not valid: expected {expected}")
        raise SettingsError("; ".join(lines)) from None


def _resource_attributes(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not separator or not key.strip() for key, separator, _ in pairs):
        raise ValueError("not a list of key=value")
    return {key.strip(): unquote(text.strip()) for key, _, text in pairs}


def http_url(value: str) -> str:
    """Returns `value` unchanged when it is an absolute http(s) URL with a host and a possible port, else ValueError."""
    parts = urlsplit(value)
    # Reading .port validates it: urlsplit accepts any text there.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("not an absolute http or https URL")
    return value


class TracingSettings(EnvironmentSettings):
    """What the tracing library reads from the environment; times in milliseconds."""

    enabled: bool = Field(True, alias="TRACING_ENABLED", description="true or false")
    sampling_rate: float = Field(
        1.0, alias="TRACING_SAMPLING_RATE", ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1"
    )
    max_queue_size: int = Field(
        2048, alias="TRACING_MAX_QUEUE_SIZE", ge=1, le=1_000_000, description="a whole number of spans, 1 to 1000000"
    )
    max_batch_size: int = Field(
        512, alias="TRACING_MAX_BATCH_SIZE", ge=1, le=100_000, description="a whole number of spans, 1 to 100000"
    )
    delay_ms: int = Field(5000, alias="TRACING_DELAY_MS", ge=1, le=600_000, description="milliseconds, 1 to 600000")
    timeout_ms: int = Field(
        30_000, alias="TRACING_TIMEOUT_MS", ge=1, le=600_000, description="milliseconds, 1 to 600000"
    )
    hash_key: SecretStr | None = Field(
        None, alias="TRACING_HASH_KEY", min_length=8, description="a secret of at least 8 characters"
    )
    endpoint: Annotated[str, AfterValidator(http_url)] = Field(
        "http://localhost:4317",
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="an http or https URL of an OTLP gRPC receiver, such as http://collector:4317",
    )
    service_name: str = Field(
        "unknown_service", alias="OTEL_SERVICE_NAME", max_length=255, description="1 to 255 characters"
    )
    resource_attributes: Annotated[Mapping[str, str], BeforeValidator(_resource_attributes)] = Field(
        default_factory=dict,
        alias="OTEL_RESOURCE_ATTRIBUTES",
        description="a comma-separated list of key=value, percent-encoded",
    )
    sdk_disabled: bool = Field(False, alias="OTEL_SDK_DISABLED", description="true or false")

    @property
    def active(self) -> bool:
        """Whether spans are made at all."""
        return self.enabled and not self.sdk_disabled

    @model_validator(mode="after")
    def _batch_fits_queue(self) -> Self:
        if self.max_batch_size > self.max_queue_size:
            raise ValueError(
                f"TRACING_MAX_BATCH_SIZE={self.max_batch_size} is not valid: "
                f"expected at most TRACING_MAX_QUEUE_SIZE, which is {self.max_queue_size}"
            )
        return self
