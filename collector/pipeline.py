"""The Collector's configuration as text: a pure function of what the stack decides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2

from stack import endpoints

QUEUE_DIRECTORY: Final = "/var/lib/otelcol"

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # YAML, not HTML
    keep_trailing_newline=True,
)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    trace_store: str
    """host:port of the trace store's OTLP gRPC receiver."""
    queue_size: int
    """Spans in the queue on disk before senders are made to wait."""
    metrics_flush_interval: str = "5s"
    """How often span metrics are handed to their exporter; no use in more often than Prometheus scrapes."""


def render(pipeline: Pipeline) -> str:
    """YAML that the Collector reads."""
    return _TEMPLATES.get_template("config.yaml.j2").render(
        trace_store=pipeline.trace_store,
        queue_size=pipeline.queue_size,
        queue_directory=QUEUE_DIRECTORY,
        metrics_flush_interval=pipeline.metrics_flush_interval,
        ports={
            "otlp_grpc": endpoints.OTLP_GRPC_PORT,
            "otlp_http": endpoints.OTLP_HTTP_PORT,
            "telemetry": endpoints.COLLECTOR_TELEMETRY_PORT,
            "span_metrics": endpoints.COLLECTOR_SPAN_METRICS_PORT,
            "health": endpoints.COLLECTOR_HEALTH_PORT,
        },
    )
