"""The trace store: Tempo, or Jaeger where it is chosen. Whoever sends or reads traces sees only this interface."""

from dataclasses import dataclass
from typing import Final, Protocol

import pulumi

from stack.settings import Kafka, Traces

TEMPO: Final = "web-crawl-tracing:index:Tempo"
DISTRIBUTED_TEMPO: Final = "web-crawl-tracing:index:DistributedTempo"


@dataclass(frozen=True, kw_only=True)
class TraceStoreArgs:
    namespace: pulumi.Input[str]
    settings: Traces
    retention: str
    storage_class: str | None
    secret: pulumi.Input[str]
    """Name of the Secret with the object storage's keys."""
    kafka: Kafka
    bootstrap_servers: pulumi.Input[str]


class TraceStore(Protocol):
    """A trace store takes OTLP over gRPC and is a datasource of Grafana."""

    otlp_endpoint: pulumi.Output[str]
    """host:port that takes OTLP over gRPC."""
    query_url: pulumi.Output[str]
    """Base URL of its query API, the one that Grafana's datasource uses."""


def trace_store(args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> TraceStore:
    """The store that the settings name."""
    # Imported here: each backend's module imports the arguments above.
    if args.settings.backend == "jaeger":
        from stack.components.jaeger import Jaeger

        return Jaeger("jaeger", args, opts)
    if args.settings.distributed:
        from stack.components.tempo_distributed import DistributedTempo

        return DistributedTempo("tempo", args, opts)
    from stack.components.tempo import Tempo

    return Tempo("tempo", args, opts)
