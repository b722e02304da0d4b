"""Settings from environment variables: typed, frozen, and refused at start with one clear message when wrong."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

from service.tracing.attributes import SERVICE_NAME
from service.tracing.sampling import SamplingRule, parse_rules

Model = TypeVar("Model", bound="EnvironmentSettings")

# Not settings of this library: OpenTelemetry's API and resource detection read them by themselves.
_OBEYED_BY_THE_API = frozenset({"OTEL_PYTHON_CONTEXT", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"})


@dataclass(frozen=True)
class Synonym:
    """In a field's annotation: another variable that sets it where its own, or an earlier synonym, does not."""

    variable: str
    signal: str = ""
    """`traces` or `logs`: it counts for that signal alone."""
    first: bool = False
    """It goes before the field's own."""


class SettingsError(ValueError):
    """The environment holds values a service cannot start with; the message names each variable, value and range."""


class EnvironmentSettings(BaseModel):
    """Base of all settings: a field's alias is its environment variable, its description the range it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    @classmethod
    def completed(cls, environ: Mapping[str, str]) -> Mapping[str, str]:
        """`environ` with the variables that follow from others."""
        return environ


def _names(variable: str, field: FieldInfo, signal: str = "") -> list[str]:
    """The variables that set a field, the one that wins first. signal: "" names those of all signals."""
    synonyms = [data for data in field.metadata if isinstance(data, Synonym)]
    if signal:
        synonyms = [synonym for synonym in synonyms if synonym.signal in ("", signal)]
    before = [synonym.variable for synonym in synonyms if synonym.first]
    return [*before, variable, *(synonym.variable for synonym in synonyms if not synonym.first)]


def from_environment(
    model: type[Model], environ: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] | None = None
) -> Model:
    """Reads `model` from `environ` (the process's own when None).

    An empty variable counts as unset, as OpenTelemetry prescribes. `defaults` are by variable name and give way to the
    environment. Raises SettingsError with every wrong variable in one message.
    """
    environ = model.completed(os.environ if environ is None else environ)
    settings = _read(model, environ, defaults or {}, "traces")
    if isinstance(settings, TracingSettings):
        fields = [(field.alias or name, field) for name, field in TracingSettings.model_fields.items()]
        of_logs = {name for variable, field in fields for name in _names(variable, field, "logs")}
        of_traces = {name for variable, field in fields for name in _names(variable, field, "traces")}
        given = {name for name, value in environ.items() if value.strip()}
        if given & (of_logs ^ of_traces):
            settings._logs = _read(TracingSettings, environ, defaults or {}, "logs")
        settings._ignored = tuple(sorted(_unsupported(environ, given - of_logs - of_traces)))
        settings._taken_as_false = tuple(
            name
            for name, field in fields
            if _STANDARD_BOOLEAN in field.metadata and name in given and not _is_boolean(environ[name])
        )
    return settings


def _is_boolean(value: str) -> bool:
    return value.strip().lower() in ("true", "false")


def _unsupported(environ: Mapping[str, str], given: Iterable[str]) -> Iterator[str]:
    for name in given:
        # No metrics are exported, which is what `none` asks for.
        obeyed = name == "OTEL_METRICS_EXPORTER" and environ[name].strip().lower() == "none"
        if name.startswith("OTEL_") and name not in _OBEYED_BY_THE_API and not obeyed:
            yield name


def _read(model: type[Model], environ: Mapping[str, str], defaults: Mapping[str, str], signal: str) -> Model:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    values: dict[str, str] = {}
    sources: dict[str, str] = {}  # the variable a value came from, which may be a synonym
    for variable, field in fields.items():
        for source in (environ, defaults):
            names = _names(variable, field, signal)
            name = next((name for name in names if source.get(name, "").strip()), None)
            if name is not None and variable not in values:
                values[variable], sources[variable] = source[name].strip(), name
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems: dict[str, str] = {}  # one a variable, however many of its parts are wrong
        for problem in error.errors(include_url=False):
            if problem["type"] == "default_factory_not_called":  # only says that another value is wrong
                continue
            variable = str(problem["loc"][0]) if problem["loc"] else ""
            if variable not in fields:
                problems[problem["msg"]] = problem["msg"].removeprefix("Value error, ")
            elif variable not in values:
                problems[variable] = f"{variable} is not set: expected {fields[variable].description or problem['msg']}"
            else:
                shown = _shown(fields[variable], values[variable])
                text = f"{sources[variable]}={shown} is not valid: expected {fields[variable].description}"
                reason = problem.get("ctx", {}).get("error")
                problems[variable] = f"{text} ({reason})" if reason and shown != _HIDDEN else text
        raise SettingsError("; ".join(dict.fromkeys(problems.values()))) from None


_HIDDEN = "(hidden)"
_LONGEST_SHOWN = 200


def _shown(field: FieldInfo, value: str) -> str:
    """A secret's value must not reach a log, wrong or not; nor may credentials in a URL."""
    if _holds_secret(field.annotation) or ("://" in value and "@" in value):
        return _HIDDEN
    return repr(value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}...")


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _pairs(value: object) -> object:
    """A list of key=value, percent-encoded, as OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_HEADERS have it."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not separator or not key.strip() for key, separator, _ in pairs):
        raise ValueError("not a list of key=value")
    return {unquote(key.strip()): unquote(text.strip()) for key, _, text in pairs}


# What gRPC sends as text. Any other name fails with every request; so does `-bin`, whose value it takes as bytes only.
_HEADER_NAME = re.compile(r"(?!.*-bin$)[a-z0-9_.-]+", re.IGNORECASE)


def _sendable_headers(value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    for name, text in value.items():
        secret = text.get_secret_value()
        if not _HEADER_NAME.fullmatch(name) or not secret.isascii() or not secret.isprintable():
            raise ValueError("not sendable as a header")
    return {name.lower(): text for name, text in value.items()}


def _standard_boolean(value: object) -> object:
    """As OpenTelemetry has it: "true" in any case is true, and every other text is false."""
    return value.strip().lower() == "true" if isinstance(value, str) else value


_STANDARD_BOOLEAN = BeforeValidator(_standard_boolean)


def _propagators(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    return () if names == ("none",) else names


_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _known_methods(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not all(map(_METHOD.fullmatch, names)):
        raise ValueError("not a list of HTTP methods")
    return names


_FILTER = re.compile(r"[A-Za-z0-9_./-]+\*?")


def _filter(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    for name in names:
        if not _FILTER.fullmatch(name):
            raise ValueError(f"{name!r} is no such key")
    return names


def _rules(value: object) -> object:
    return parse_rules(value) if isinstance(value, str) else value


def _certificates(value: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ValueError(f"{type(error).__name__}: no certificate can be read from it") from None
    return value


def http_url(value: str) -> str:
    """Returns `value` unchanged when it is an absolute http(s) URL with a host and a possible port, else ValueError."""
    parts = urlsplit(value)
    # Reading .port validates it: urlsplit accepts any text there.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("not an absolute http or https URL")
    return value


def _batch(what: str) -> tuple[Synonym, Synonym]:
    """The standard variables of the two batch processors."""
    return Synonym(f"OTEL_BSP_{what}", "traces"), Synonym(f"OTEL_BLRP_{what}", "logs")


def _otlp(what: str, *, first: bool = True) -> tuple[Synonym, Synonym]:
    """The variables of the exporter for one signal, which go before that for both."""
    traces, logs = (f"OTEL_EXPORTER_OTLP_{signal}_{what}" for signal in ("TRACES", "LOGS"))
    return Synonym(traces, "traces", first), Synonym(logs, "logs", first)


_Milliseconds = Annotated[int, Field(ge=1, le=600_000)]
_AttributeCount = Annotated[
    int,
    Synonym("OTEL_ATTRIBUTE_COUNT_LIMIT"),
    Field(ge=1, le=10_000, description="a whole number, 1 to 10000"),
]
_SAMPLERS = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


class TracingSettings(EnvironmentSettings):
    """What the tracing library reads from the environment; times in milliseconds.

    Where a TRACING_* variable and a standard OTEL_* one mean the same, the TRACING_* one wins when both are set.
    """

    enabled: bool = Field(True, alias="TRACING_ENABLED", description="true or false")
    sdk_disabled: Annotated[bool, _STANDARD_BOOLEAN] = Field(
        False, alias="OTEL_SDK_DISABLED", description="true, or any other text for false"
    )
    resource_attributes: Annotated[Mapping[str, str], BeforeValidator(_pairs)] = Field(
        default_factory=dict,
        alias="OTEL_RESOURCE_ATTRIBUTES",
        description="a comma-separated list of key=value, percent-encoded",
    )
    service_name: str = Field(
        default_factory=lambda data: data.get("resource_attributes", {}).get(SERVICE_NAME) or "unknown_service",
        alias="OTEL_SERVICE_NAME",
        max_length=255,
        description="1 to 255 characters",
    )
    hash_key: SecretStr | None = Field(
        None, alias="TRACING_HASH_KEY", min_length=8, description="a secret of at least 8 characters"
    )

    sampling_rate: float = Field(
        1.0, alias="TRACING_SAMPLING_RATE", ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1"
    )
    sampling_rules: Annotated[tuple[SamplingRule, ...], BeforeValidator(_rules)] = Field(
        (),
        alias="TRACING_SAMPLING_RULES",
        description=(
            "rules separated by semicolons, the first that matches a new trace decides, such as "
            "GET /api/tasks=0.1;/api/tasks/*=0.5;topic:task-status=1"
        ),
    )
    sampler: _SAMPLERS = Field(
        "parentbased_traceidratio",
        alias="OTEL_TRACES_SAMPLER",
        description="always_on, always_off or traceidratio, each also with parentbased_ before it",
    )
    sampler_argument: float | None = Field(
        None, alias="OTEL_TRACES_SAMPLER_ARG", ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1"
    )
    propagators: Annotated[tuple[Literal["tracecontext", "baggage"], ...], BeforeValidator(_propagators)] = Field(
        ("tracecontext", "baggage"),
        alias="OTEL_PROPAGATORS",
        description="a comma-separated list of tracecontext and baggage, or none",
    )

    max_queue_size: Annotated[int, *_batch("MAX_QUEUE_SIZE")] = Field(
        2048, alias="TRACING_MAX_QUEUE_SIZE", ge=1, le=1_000_000, description="a whole number of spans, 1 to 1000000"
    )
    max_batch_size: Annotated[int, *_batch("MAX_EXPORT_BATCH_SIZE")] = Field(
        # A short queue alone is no mistake: the batch follows it.
        default_factory=lambda data: min(512, data.get("max_queue_size", 512)),
        alias="TRACING_MAX_BATCH_SIZE",
        ge=1,
        le=100_000,
        description="a whole number of spans, 1 to 100000",
    )
    max_request_bytes: int = Field(
        # Receivers of gRPC take 4 MiB unless they are told otherwise.
        3 << 20,
        alias="TRACING_MAX_REQUEST_BYTES",
        ge=64 << 10,
        le=256 << 20,
        description="bytes of one export, 65536 to 268435456, and no more than the receiver takes",
    )
    delay_ms: Annotated[_Milliseconds, *_batch("SCHEDULE_DELAY")] = Field(
        5000, alias="TRACING_DELAY_MS", description="milliseconds, 1 to 600000"
    )
    timeout_ms: Annotated[
        _Milliseconds,
        *_batch("EXPORT_TIMEOUT"),
        *_otlp("TIMEOUT", first=False),
        Synonym("OTEL_EXPORTER_OTLP_TIMEOUT"),
    ] = Field(30_000, alias="TRACING_TIMEOUT_MS", description="milliseconds, 1 to 600000")
    buffer_bytes: int = Field(
        16 << 20, alias="TRACING_BUFFER_BYTES", ge=64 << 10, le=1 << 30, description="bytes, 65536 to 1073741824"
    )
    breaker_failures: int = Field(
        5, alias="TRACING_BREAKER_FAILURES", ge=1, le=1000, description="failures in a row, 1 to 1000"
    )
    breaker_reset_ms: int = Field(
        5000, alias="TRACING_BREAKER_RESET_MS", ge=100, le=600_000, description="milliseconds, 100 to 600000"
    )

    endpoint: Annotated[str, AfterValidator(http_url), *_otlp("ENDPOINT")] = Field(
        "http://localhost:4317",
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="an http or https URL of an OTLP gRPC receiver, such as http://collector:4317",
    )
    protocol: Annotated[Literal["grpc"], *_otlp("PROTOCOL")] = Field(
        "grpc", alias="OTEL_EXPORTER_OTLP_PROTOCOL", description="grpc"
    )
    headers: Annotated[
        Mapping[str, SecretStr], BeforeValidator(_pairs), AfterValidator(_sendable_headers), *_otlp("HEADERS")
    ] = Field(
        default_factory=dict,
        alias="OTEL_EXPORTER_OTLP_HEADERS",
        description="a comma-separated list of key=value, percent-encoded, sendable as headers",
    )
    certificate: Annotated[Annotated[Path, AfterValidator(_certificates)] | None, *_otlp("CERTIFICATE")] = Field(
        None, alias="OTEL_EXPORTER_OTLP_CERTIFICATE", description="the path of a readable PEM file of certificates"
    )
    compression: Annotated[Literal["none", "gzip"], *_otlp("COMPRESSION")] = Field(
        "none", alias="OTEL_EXPORTER_OTLP_COMPRESSION", description="none or gzip"
    )
    traces_exporter: Literal["none", "otlp"] = Field("otlp", alias="OTEL_TRACES_EXPORTER", description="none or otlp")
    logs_exporter: Literal["none", "otlp"] = Field("none", alias="OTEL_LOGS_EXPORTER", description="none or otlp")

    http_known_methods: Annotated[tuple[str, ...], BeforeValidator(_known_methods)] = Field(
        (),
        alias="OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
        description="a comma-separated list of the HTTP methods that spans and metrics name, instead of the usual ones",
    )
    attributes_filter: Annotated[tuple[str, ...], BeforeValidator(_filter)] = Field(
        (),
        alias="TRACING_ATTRIBUTES_FILTER",
        description="a comma-separated list of attribute keys that are never exported, * at the end for any rest",
    )
    attribute_value_length_limit: Annotated[
        int,
        Synonym("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "traces", first=True),
        Synonym("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "logs", first=True),
    ] = Field(
        16_384, alias="OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", ge=1, le=1 << 20, description="characters, 1 to 1048576"
    )
    span_attribute_count_limit: _AttributeCount = Field(128, alias="OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
    event_attribute_count_limit: _AttributeCount = Field(128, alias="OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT")
    link_attribute_count_limit: _AttributeCount = Field(128, alias="OTEL_LINK_ATTRIBUTE_COUNT_LIMIT")
    log_record_attribute_count_limit: _AttributeCount = Field(128, alias="OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT")
    span_event_count_limit: int = Field(
        128, alias="OTEL_SPAN_EVENT_COUNT_LIMIT", ge=1, le=10_000, description="a whole number, 1 to 10000"
    )
    span_link_count_limit: int = Field(
        128, alias="OTEL_SPAN_LINK_COUNT_LIMIT", ge=1, le=10_000, description="a whole number, 1 to 10000"
    )

    _logs: TracingSettings | None = PrivateAttr(None)
    _ignored: tuple[str, ...] = PrivateAttr(())
    _taken_as_false: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def completed(cls, environ: Mapping[str, str]) -> Mapping[str, str]:
        """The service's name may stand among the attributes of the resource; its own variable goes before them."""
        try:
            pairs = _pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        except ValueError:  # it is refused with its own message
            return environ
        name = pairs.get(SERVICE_NAME, "") if isinstance(pairs, dict) else ""
        if environ.get("OTEL_SERVICE_NAME", "").strip() or not name.strip():
            return environ
        return {**environ, "OTEL_SERVICE_NAME": name}

    @property
    def of_logs(self) -> TracingSettings:
        """These settings as they are for log records, which have variables of their own."""
        return self._logs or self

    @property
    def ignored(self) -> tuple[str, ...]:
        """Variables of OpenTelemetry that are set and not supported."""
        return self._ignored

    @property
    def taken_as_false(self) -> tuple[str, ...]:
        """Variables whose values are neither true nor false, which OpenTelemetry counts as false."""
        return self._taken_as_false

    @property
    def active(self) -> bool:
        """Whether spans are made at all."""
        return self.enabled and not self.sdk_disabled and self.traces_exporter != "none"

    @property
    def root_ratio(self) -> float:
        """The part of the traces begun here that is recorded, where no rule says otherwise; 0 to 1."""
        if "sampling_rate" in self.model_fields_set:
            return self.sampling_rate
        if self.sampler.endswith("always_on"):
            return 1.0
        if self.sampler.endswith("always_off"):
            return 0.0
        return self.sampling_rate if self.sampler_argument is None else self.sampler_argument

    # Checks of one field against another: on the later one, so that they join the other problems in the message.

    @field_validator("max_batch_size")
    @classmethod
    def _fits_queue(cls, value: int, info: ValidationInfo) -> int:
        queue = info.data.get("max_queue_size")
        if queue is not None and value > queue:
            raise ValueError(f"at most TRACING_MAX_QUEUE_SIZE, which is {queue}")
        return value

    @field_validator("sampler")
    @classmethod
    def _rules_follow_parents(cls, value: str, info: ValidationInfo) -> str:
        # A rule holds for a whole trace; a sampler that asks each span alone would tear it.
        if info.data.get("sampling_rules") and not value.startswith("parentbased_"):
            raise ValueError("with TRACING_SAMPLING_RULES only a parentbased_ one")
        return value

    @field_validator("certificate")
    @classmethod
    def _has_use(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("endpoint", "https:").startswith("http:"):
            raise ValueError("of use only with an https OTEL_EXPORTER_OTLP_ENDPOINT")
        return value
