"""Renders the configurations of the Collectors and samplers as YAML, from the settings that the stack passes in."""

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

import jinja2
import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable

from contracts import endpoints, span_attributes
from contracts.http import KEEP_KEY
from lean_tracing import OwnAttributes, Redactor, attributes
from lean_tracing.redaction import names, shapes, tokens

CERTIFICATE_DIRECTORY: Final = "/etc/otelcol-certificate"
CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"
QUEUE_DIRECTORY: Final = "/var/lib/otelcol"
TOKEN_DIRECTORY: Final = "/etc/otelcol-token"
TOKEN_FILE: Final = "token"
GUARD: Final = tuple(Path(__file__).with_name(f"queue_{name}.py") for name in ("guard", "file", "reserve"))
"""The modules of the program that runs in each Collector's pod and guards its queue files. The first one starts it."""
TOPIC: Final = "otlp-spans"
"""Kafka topic from which the samplers read spans."""
MAX_MESSAGE_BYTES: Final = 10_000_000
"""Largest message of that topic: the spans of one trace in one batch."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # YAML, not HTML
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class OtlpTarget:
    """Where Collectors send OTLP."""

    endpoint: str
    """host:port for gRPC; URL without `/v1/traces` or `/v1/logs` for HTTP."""
    protocol: Literal["grpc", "http"] = "grpc"
    encrypted: bool = False
    """Whether gRPC uses TLS; for HTTP, the URL decides."""
    ca: str | None = None
    """PEM of the authority that signed the receiver's certificate; the system's authorities if None."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request; `${env:NAME}` is replaced when the Collector starts."""


@dataclass(frozen=True)
class KafkaTarget:
    """The Kafka through which Collectors pass spans to the samplers."""

    brokers: str
    """host:port of some brokers, separated by commas."""
    encrypted: bool = False
    """Whether they use TLS."""
    ca: str | None = None
    """PEM of the authority that signed their certificates; the system's authorities if None."""
    mechanism: str | None = None
    """SASL's, such as SCRAM-SHA-512; no SASL if None. The password is the variable KAFKA_PASSWORD of the Collector."""
    username: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Settings of the Collectors, which receive all spans, metrics and logs."""

    trace_store: OtlpTarget
    metric_stores: Sequence[OtlpTarget]
    """They take OTLP metrics over HTTP; all metrics go to each of them. If empty, the Collectors take no metrics."""
    log_store: OtlpTarget | None = None
    """None: the Collectors take no logs."""
    queue_size: int
    """Spans that fit into the queue on disk; log records and metrics have queues of a quarter of this size."""
    sampled_through: KafkaTarget | None = None
    """With sampling, spans go there instead of to the trace store."""
    metrics_flush_interval: str = "5s"
    """How often the exporter gets the span metrics: as often as Prometheus scrapes. An exemplar is visible from one
    flush to the next, so that with more flushes a scrape would miss it."""
    own_distribution: bool = False
    """Whether the Collectors run the project's distribution, whose processor redacts in one pass. Else they run the
    contrib distribution."""
    encrypted: bool = False
    """Whether the receivers have TLS, and the metrics a proxy in the pod, which alone reaches them."""
    takes_plain: bool = False
    """With `encrypted`: whether that proxy alone reaches the receivers too, and those of connections in clear, which
    have other ports."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Settings of the samplers, which read the topic and decide which traces are stored."""

    trace_store: OtlpTarget
    kafka: KafkaTarget
    queue_size: int
    """Spans that fit into the queue on disk. When it is full, the samplers stop reading the topic."""
    ratio: float
    """Share of the traces to keep that no other policy keeps, 0 to 1."""
    errors: bool
    """Keep every trace with a span of status ERROR."""
    slow_ms: int | None
    """Keep every trace that lasts longer, from its first start to its last end."""
    decision_wait_seconds: int
    """Time from a trace's first span to the decision."""
    traces: int
    """Maximum number of traces that wait for their decision."""
    metrics_flush_interval: str = "5s"
    """How often the exporter gets the metrics of stored spans."""
    encrypted: bool = False
    """Whether the metrics have a proxy in the pod, which alone reaches them."""


def render(pipeline: Pipeline) -> str:
    """Return the Collectors' configuration as YAML."""
    return _TEMPLATES.get_template("config.yaml.j2").render(
        names=names,
        shapes=shapes.COLLECTOR,
        shortest_token=tokens.MIN_TOKEN,
        known_keys=_known_keys(),
        trace_store=pipeline.trace_store,
        metric_stores=_named(pipeline.metric_stores),
        log_store=pipeline.log_store,
        kafka=pipeline.sampled_through,
        otlp_max_mib=endpoints.OTLP_MAX_MIB,
        topic=TOPIC,
        max_message_bytes=MAX_MESSAGE_BYTES,
        batch_bytes=endpoints.OTLP_BATCH_BYTES,
        queue_size=pipeline.queue_size,
        metrics_flush_interval=pipeline.metrics_flush_interval,
        token_file=f"{TOKEN_DIRECTORY}/{TOKEN_FILE}",
        queue_directory=QUEUE_DIRECTORY,
        ports=_PORTS,
        own_distribution=pipeline.own_distribution,
        address=_address(encrypted=pipeline.encrypted),
        receiver=_receiver(pipeline),
        plain_receiver=_plain_receiver() if pipeline.takes_plain else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Receiver:
    """A receiver of OTLP: host:port for each protocol, and its certificate if it has TLS."""

    grpc: str
    http: str
    certificate: Mapping[str, str] | None = None


def _receiver(pipeline: Pipeline) -> _Receiver:
    host = "127.0.0.1" if pipeline.takes_plain else "0.0.0.0"
    return _Receiver(
        grpc=f"{host}:{endpoints.OTLP_GRPC_PORT}",
        http=f"{host}:{endpoints.OTLP_HTTP_PORT}",
        certificate=_CERTIFICATE if pipeline.encrypted else None,
    )


def _plain_receiver() -> _Receiver:
    """Return the receiver of connections in clear, next to the one with TLS."""
    return _Receiver(
        grpc=f"127.0.0.1:{endpoints.OTLP_GRPC_PORT + endpoints.SECOND_PORTS}",
        http=f"127.0.0.1:{endpoints.OTLP_HTTP_PORT + endpoints.SECOND_PORTS}",
    )


def _address(*, encrypted: bool) -> str:
    """Return the address on which the Collectors serve metrics."""
    return "127.0.0.1" if encrypted else "0.0.0.0"


def _named(metric_stores: Sequence[OtlpTarget]) -> dict[str, OtlpTarget]:
    """Return name of the exporter → its metric store."""
    if len(metric_stores) == 1:
        return {"metrics": metric_stores[0]}
    return {f"metrics-{number}": store for number, store in enumerate(metric_stores)}


@functools.cache
def _known_keys() -> list[str]:
    """Attribute keys of OpenTelemetry's conventions and of this project that hold no secrets; a lookup is cheap."""
    modules = [attributes, span_attributes] + [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for package in (stable, incubating)
        for module in pkgutil.iter_modules(package.__path__)
    ]
    keys = {
        value
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
    keys |= {*asdict(OwnAttributes.below(span_attributes.PREFIX)).values(), "correlation_id", "logger.name"}
    # Each redaction processor adds these for those that follow it.
    keys |= {f"redaction.{counted}.count" for counted in ("allowed", "ignored", "masked")}
    redactor = Redactor()
    return sorted(key for key in keys if redactor.named(key, "text") == "text")


def render_sampler(sampler: Sampler) -> str:
    """Return the samplers' configuration as YAML."""
    return _TEMPLATES.get_template("sampler.yaml.j2").render(
        trace_store=sampler.trace_store,
        kafka=sampler.kafka,
        topic=TOPIC,
        max_message_bytes=MAX_MESSAGE_BYTES,
        batch_bytes=endpoints.OTLP_BATCH_BYTES,
        sampler=sampler,
        metrics_flush_interval=sampler.metrics_flush_interval,
        keep_key=KEEP_KEY,
        queue_size=sampler.queue_size,
        queue_directory=QUEUE_DIRECTORY,
        ports=_PORTS,
        address=_address(encrypted=sampler.encrypted),
    )


_CERTIFICATE: Final = {
    "file": f"{CERTIFICATE_DIRECTORY}/{CERTIFICATE_FILE}",
    "key": f"{CERTIFICATE_DIRECTORY}/{KEY_FILE}",
}
_PORTS: Final = {
    "telemetry": endpoints.COLLECTOR_TELEMETRY_PORT,
    "span_metrics": endpoints.COLLECTOR_SPAN_METRICS_PORT,
    "health": endpoints.COLLECTOR_HEALTH_PORT,
}
