"""The common interface of the trace stores: their inputs, and the addresses to which spans and queries go."""

from dataclasses import dataclass
from typing import Final, Protocol

import pulumi

from stack.components.encryption.protection import Protection
from stack.components.kafka.access import KafkaAccess
from stack.components.kafka.settings import Kafka
from stack.components.trace_store.settings import Traces

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
    brokers: KafkaAccess
    protection: Protection | None = None


class TraceStore(Protocol):
    """A store that accepts OTLP over gRPC and is a datasource of Grafana."""

    otlp_endpoint: pulumi.Output[str]
    """host:port that accepts OTLP over gRPC."""
    query_url: pulumi.Output[str]
    """Base URL of its query API, for Grafana's datasource."""
