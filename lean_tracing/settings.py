"""The settings of tracing: the one definition of their defaults, limits and environment variables."""

import os
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationInfo, field_validator

from lean_tracing import configuration_file, values
from lean_tracing.attributes import SERVICE_NAME
from lean_tracing.environment import EnvironmentSettings, Synonym, read, variables_of
from lean_tracing.sampling import SamplingRule, parse_rules

# OpenTelemetry's API and resource detection read these themselves.
_READ_BY_THE_API: Final = frozenset({"OTEL_PYTHON_CONTEXT", "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"})
Signal = Literal["traces", "logs"]
_ENDPOINTS: Final[Mapping[Signal, str]] = {
    "traces": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "logs": "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
}
_STANDARD_BOOLEAN: Final = BeforeValidator(values.parse_standard_boolean)


def _check_rules(value: str) -> str:
    """The rules as they are, "" if there are none; ValueError that names the rule that is wrong."""
    return value if parse_rules(value) else ""


def _batch(what: str) -> tuple[Synonym, Synonym]:
    """OpenTelemetry's variables of the two batch processors."""
    return Synonym(f"OTEL_BSP_{what}", "traces"), Synonym(f"OTEL_BLRP_{what}", "logs")


def _otlp(what: str, *, first: bool = True) -> tuple[Synonym, Synonym]:
    """The exporter's variables for one signal, which win over the variable for both."""
    traces, logs = (f"OTEL_EXPORTER_OTLP_{signal}_{what}" for signal in ("TRACES", "LOGS"))
    return Synonym(traces, "traces", first), Synonym(logs, "logs", first)


_Milliseconds = Annotated[int, Field(ge=1, le=600_000)]
_AttributeCount = Annotated[
    int,
    Synonym("OTEL_ATTRIBUTE_COUNT_LIMIT"),
    Field(ge=0, le=10_000, description="a whole number, 0 to 10000"),
]
_Certificates = Annotated[Path, AfterValidator(values.check_certificates)]
_ANY_CASE: Final = BeforeValidator(values.lower)
_Sampler = Annotated[
    Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ],
    _ANY_CASE,
]
_Exporter = Annotated[Literal["none", "otlp"], _ANY_CASE]


class TracingSettings(EnvironmentSettings):
    """The settings of the tracing library; times are in milliseconds.

    If a TRACING_* variable and an OTEL_* variable with the same meaning are both set, the TRACING_* variable wins.
    """

    enabled: bool = Field(True, alias="TRACING_ENABLED", description="true or false")
    native: bool = Field(True, alias="TRACING_NATIVE", description="true or false: the native part, where it is built")
    sdk_disabled: Annotated[bool, _STANDARD_BOOLEAN] = Field(
        False, alias="OTEL_SDK_DISABLED", description="true, or any other text for false"
    )
    resource_attributes: Annotated[Mapping[str, str], BeforeValidator(values.split_pairs)] = Field(
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
    sampling_rules: Annotated[str, AfterValidator(_check_rules)] = Field(
        "",
        alias="TRACING_SAMPLING_RULES",
        description=(
            "rules separated by semicolons, the first that matches a new trace decides, such as "
            "GET /api/tasks=0.1;/api/tasks/*=0.5;topic:task-status=1"
        ),
    )
    sampler: _Sampler = Field(
        "parentbased_traceidratio",
        alias="OTEL_TRACES_SAMPLER",
        description="always_on, always_off or traceidratio, each also with parentbased_ before it",
    )
    sampler_argument: float | None = Field(
        None, alias="OTEL_TRACES_SAMPLER_ARG", ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1"
    )
    propagators: Annotated[
        tuple[Literal["tracecontext", "baggage"], ...], BeforeValidator(values.parse_propagators)
    ] = Field(
        ("tracecontext", "baggage"),
        alias="OTEL_PROPAGATORS",
        description="a comma-separated list of tracecontext and baggage, or none",
    )
    baggage_entries: Annotated[str, AfterValidator(values.check_baggage_entries)] = Field(
        "",
        alias="TRACING_BAGGAGE_ENTRIES",
        description="a comma-separated list of the names of baggage entries that are carried on",
    )

    max_queue_size: Annotated[int, *_batch("MAX_QUEUE_SIZE")] = Field(
        2048, alias="TRACING_MAX_QUEUE_SIZE", ge=1, le=1_000_000, description="a whole number of spans, 1 to 1000000"
    )
    max_batch_size: Annotated[int, *_batch("MAX_EXPORT_BATCH_SIZE")] = Field(
        # A queue shorter than the default batch is no mistake: the batch follows it.
        default_factory=lambda data: min(512, data.get("max_queue_size", 512)),
        alias="TRACING_MAX_BATCH_SIZE",
        ge=1,
        le=100_000,
        description="a whole number of spans, 1 to 100000",
    )
    max_request_bytes: int = Field(
        # Receivers of gRPC take 4 MiB by default.
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

    protocol: Annotated[Literal["grpc", "http/protobuf"], _ANY_CASE, *_otlp("PROTOCOL")] = Field(
        "grpc", alias="OTEL_EXPORTER_OTLP_PROTOCOL", description="grpc or http/protobuf"
    )
    endpoint: Annotated[str, AfterValidator(values.check_endpoint), *_otlp("ENDPOINT")] = Field(
        default_factory=lambda data: f"http://localhost:{4317 if data.get('protocol', 'grpc') == 'grpc' else 4318}",
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="an http or https URL of an OTLP receiver, such as http://collector:4317, for HTTP without /v1/…",
    )
    headers: Annotated[
        Mapping[str, SecretStr],
        BeforeValidator(values.split_pairs),
        AfterValidator(values.check_headers),
        *_otlp("HEADERS"),
    ] = Field(
        default_factory=dict,
        alias="OTEL_EXPORTER_OTLP_HEADERS",
        description="a comma-separated list of key=value, percent-encoded, sendable as headers",
    )
    certificate: Annotated[_Certificates | None, *_otlp("CERTIFICATE")] = Field(
        None, alias="OTEL_EXPORTER_OTLP_CERTIFICATE", description="the path of a readable PEM file of certificates"
    )
    compression: Annotated[Literal["none", "gzip"], _ANY_CASE, *_otlp("COMPRESSION")] = Field(
        "none", alias="OTEL_EXPORTER_OTLP_COMPRESSION", description="none or gzip"
    )
    traces_exporter: _Exporter = Field("otlp", alias="OTEL_TRACES_EXPORTER", description="none or otlp")
    logs_exporter: _Exporter = Field("none", alias="OTEL_LOGS_EXPORTER", description="none or otlp")

    http_known_methods: Annotated[tuple[str, ...], BeforeValidator(values.parse_methods)] = Field(
        (),
        alias="OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
        description="a comma-separated list of the HTTP methods that spans and metrics name, instead of the usual ones",
    )
    attributes_filter: Annotated[str, AfterValidator(values.check_attributes_filter)] = Field(
        "",
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
        128, alias="OTEL_SPAN_EVENT_COUNT_LIMIT", ge=0, le=10_000, description="a whole number, 0 to 10000"
    )
    span_link_count_limit: int = Field(
        128, alias="OTEL_SPAN_LINK_COUNT_LIMIT", ge=0, le=10_000, description="a whole number, 0 to 10000"
    )

    _logs: "TracingSettings | None" = PrivateAttr(None)
    # Signals whose endpoint has a variable of its own, which has the whole path.
    _whole_urls: frozenset[str] = PrivateAttr(frozenset())
    _ignored: tuple[str, ...] = PrivateAttr(())
    _taken_as_false: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] | None = None) -> Self:
        """Return the settings of the traces, and with them those of the logs where they differ."""
        environ = os.environ if environ is None else environ
        without_effect: tuple[str, ...] = ()
        if path := environ.get(configuration_file.VARIABLE, "").strip():
            from_file, without_effect = configuration_file.read_file(path, environ)
            # As OpenTelemetry prescribes: the file replaces its variables, and not only some of them.
            environ = {name: value for name, value in environ.items() if not name.startswith("OTEL_")} | from_file
        environ = _with_service_name(environ)
        settings = read(cls, environ, defaults or {}, "traces")
        fields = [(field.alias or name, field) for name, field in cls.model_fields.items()]
        of_logs = {name for variable, field in fields for name in variables_of(variable, field, "logs")}
        of_traces = {name for variable, field in fields for name in variables_of(variable, field, "traces")}
        present = {name for name, value in environ.items() if value.strip()}
        if present & (of_logs ^ of_traces):
            settings._logs = read(cls, environ, defaults or {}, "logs")
        whole = frozenset(signal for signal, variable in _ENDPOINTS.items() if variable in present)
        settings._whole_urls = settings.of_logs._whole_urls = whole
        settings._ignored = tuple(sorted(_unsupported(environ, present - of_logs - of_traces))) + without_effect
        settings._taken_as_false = tuple(
            name
            for name, field in fields
            if _STANDARD_BOOLEAN in field.metadata and name in present and not values.is_boolean(environ[name])
        )
        return settings

    @property
    def of_logs(self) -> "TracingSettings":
        """The settings of log records, some of which have variables of their own."""
        return self._logs or self

    def url(self, signal: Signal) -> str:
        """Where a signal is sent over HTTP: as OpenTelemetry prescribes, below an endpoint that is for all signals."""
        return self.endpoint if signal in self._whole_urls else f"{self.endpoint.rstrip('/')}/v1/{signal}"

    @property
    def sent_headers(self) -> Mapping[str, str]:
        """The headers of each request. As clients of HTTP do, a user and a password in the endpoint become one.

        An `authorization` among the headers wins.
        """
        url = urlsplit(self.endpoint)
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        if url.username is None and url.password is None:
            return headers
        credentials = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
        return {"authorization": f"Basic {b64encode(credentials.encode()).decode()}", **headers}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Variables of OpenTelemetry, and keys of its configuration file, that are set and not supported."""
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
    def exports_logs(self) -> bool:
        """Whether log records are exported."""
        return self.logs_exporter == "otlp" and not self.sdk_disabled

    @property
    def root_ratio(self) -> float:
        """The share of the traces begun here that is recorded if no rule matches, 0 to 1."""
        if "sampling_rate" in self.model_fields_set:
            return self.sampling_rate
        if self.sampler.endswith("always_on"):
            return 1.0
        if self.sampler.endswith("always_off"):
            return 0.0
        return self.sampling_rate if self.sampler_argument is None else self.sampler_argument

    @property
    def rules(self) -> tuple[SamplingRule, ...]:
        """`sampling_rules`, parsed."""
        return parse_rules(self.sampling_rules)

    @property
    def filtered_attributes(self) -> tuple[str, ...]:
        """The keys of `attributes_filter`."""
        return values.split_list(self.attributes_filter)

    @property
    def carried_baggage(self) -> tuple[str, ...]:
        """The names in `baggage_entries`."""
        return values.split_list(self.baggage_entries)

    # A check of two fields is a validator of the later one, so that the message lists it with the other problems.

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
        # A rule applies to a whole trace. A sampler that decides on each span alone would record parts of traces.
        if info.data.get("sampling_rules") and not value.startswith("parentbased_"):
            raise ValueError("with TRACING_SAMPLING_RULES only a parentbased_ one")
        return value

    @field_validator("certificate")
    @classmethod
    def _has_use(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("endpoint", "https:").startswith("http:"):
            raise ValueError("of use only with an https OTEL_EXPORTER_OTLP_ENDPOINT")
        return value


def _with_service_name(environ: Mapping[str, str]) -> Mapping[str, str]:
    """`environ` with OTEL_SERVICE_NAME, if only the attributes of the resource name the service."""
    try:
        pairs = values.split_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    except ValueError:  # it is refused later, with its own message
        return environ
    name = pairs.get(SERVICE_NAME, "") if isinstance(pairs, dict) else ""
    if environ.get("OTEL_SERVICE_NAME", "").strip() or not name.strip():
        return environ
    return {**environ, "OTEL_SERVICE_NAME": name}


def _unsupported(environ: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """Those of `names` that are OpenTelemetry's and have no effect."""
    for name in names:
        # No metrics are exported, which is what `none` asks for.
        is_obeyed = name == "OTEL_METRICS_EXPORTER" and environ[name].strip().lower() == "none"
        if name.startswith("OTEL_") and name not in _READ_BY_THE_API and not is_obeyed:
            yield name
