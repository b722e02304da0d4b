"""Ports, in-cluster addresses and datasource uids: servers and their clients read the same constant.

The names of the three services are in `services`, which is part of their image.
"""

from typing import Final
from urllib.parse import urlsplit

from contracts.metadata import Track

COLLECTOR: Final = "collector"
SAMPLER: Final = "sampler"
POSTGRES: Final = "postgres"
KAFKA: Final = "kafka"
KAFKA_USERS: Final = "kafka-users"
"""The pod that writes the users and rights of the stack's own Kafka."""
PROMETHEUS: Final = "prometheus"
ALERTMANAGER: Final = "alertmanager"
TEMPO: Final = "tempo"
TEMPO_DISTRIBUTOR: Final = "tempo-distributor"
TEMPO_LIVE_STORE: Final = "tempo-live-store"
TEMPO_BLOCK_BUILDER: Final = "tempo-block-builder"
TEMPO_QUERIER: Final = "tempo-querier"
TEMPO_BACKEND_SCHEDULER: Final = "tempo-backend-scheduler"
TEMPO_BACKEND_WORKER: Final = "tempo-backend-worker"
TEMPO_KAFKA: Final = "tempo-kafka"
"""As whom the parts of Tempo connect to an encrypted Kafka."""
JAEGER: Final = "jaeger"
LOKI: Final = "loki"
GRAFANA: Final = "grafana"
PROBE: Final = "probe"
GRAFANA_PUBLISHER: Final = "grafana-publisher"

SERVICE_PORT: Final = 8080
POSTGRES_PORT: Final = 5432
KAFKA_PORT: Final = 9092
"""For clients and brokers without TLS."""
KAFKA_CONTROLLER_PORT: Final = 9093
"""For controllers without TLS."""
# Each listener with TLS has a port of its own, so that brokers can have both kinds while a stack switches.
KAFKA_BROKER_TLS_PORT: Final = 9091
"""For brokers and their administration, which have certificates."""
KAFKA_TLS_PORT: Final = 9094
"""For clients, which have passwords."""
KAFKA_PROXIED_PORT: Final = 9095
"""For clients whose proxy speaks TLS, and has a certificate."""
KAFKA_CONTROLLER_TLS_PORT: Final = 9096
KAFKA_TLS_PORTS: Final = (KAFKA_BROKER_TLS_PORT, KAFKA_TLS_PORT, KAFKA_PROXIED_PORT, KAFKA_CONTROLLER_TLS_PORT)
"""All on which brokers with TLS listen."""
KAFKA_LOCAL_PORT: Final = 19092
"""At which such a proxy takes connections to any broker; the following ports are those of the brokers, by node id."""
SECOND_PORTS: Final = 20_000
"""Added to a port, it gives a port of the loopback interface: a pod that takes connections with TLS and in clear at
one port passes them on to two."""
OTLP_GRPC_PORT: Final = 4317
OTLP_HTTP_PORT: Final = 4318
OTLP_MAX_MIB: Final = 16
"""Size of the largest OTLP request that the Collectors and the trace stores take, in MiB."""
OTLP_BATCH_BYTES: Final = 9 * 2**20
"""Size of the largest batch that a Collector sends on, to a store or through Kafka; it drops a span that is longer."""
COLLECTOR_TELEMETRY_PORT: Final = 8888
COLLECTOR_SPAN_METRICS_PORT: Final = 8889
COLLECTOR_HEALTH_PORT: Final = 13133
QUEUE_GUARD_PORT: Final = 8890
PROMETHEUS_PORT: Final = 9090
ALERTMANAGER_PORT: Final = 9093
ALERTMANAGER_CLUSTER_PORT: Final = 9094
TEMPO_HTTP_PORT: Final = 3200
TEMPO_GRPC_PORT: Final = 9095
TEMPO_GOSSIP_PORT: Final = 7946
JAEGER_QUERY_PORT: Final = 16686
JAEGER_QUERY_GRPC_PORT: Final = 16685
JAEGER_TELEMETRY_PORT: Final = 8888
JAEGER_HEALTH_PORT: Final = 13133
LOKI_PORT: Final = 3100
LOKI_GRPC_PORT: Final = 9095
LOKI_GOSSIP_PORT: Final = 7946
GRAFANA_PORT: Final = 3000

# Paths of the other programs' health checks; those of the services are in `http`.
PROMETHEUS_READY: Final = "/-/ready"
PROMETHEUS_LIVE: Final = "/-/healthy"
ALERTMANAGER_READY: Final = "/-/ready"
ALERTMANAGER_LIVE: Final = "/-/healthy"
TEMPO_READY: Final = "/ready"
LOKI_READY: Final = "/ready"
JAEGER_STATUS: Final = "/status"
GRAFANA_HEALTH: Final = "/api/health"
GRAFANA_ALIVE: Final = "/healthz"
"""Answers also while Grafana's database does not, which a restart would not mend."""
COLLECTOR_HEALTH: Final = "/"
QUEUE_GUARD_HEALTH: Final = "/"

# Dashboards, links and alerts refer to datasources by these; a generated uid would break every link on re-creation.
PROMETHEUS_UID: Final = "prometheus"
TRACES_UID: Final = "traces"
LOGS_UID: Final = "logs"
ALERTS_UID: Final = "alertmanager"

# Where each trace store answers queries.
TRACE_QUERY: Final = {"tempo": (TEMPO, TEMPO_HTTP_PORT), "jaeger": (JAEGER, JAEGER_QUERY_PORT)}

SCRAPED: Final = "scraped"
"""A name in the certificate of each program that Prometheus scrapes by the addresses of its pods."""


def url(host: str, port: int, *, encrypted: bool = False) -> str:
    """`http://host:port` of a Service in the stack's own namespace, or `https://host:port`."""
    return f"{'https' if encrypted else 'http'}://{host}:{port}"


def from_outside(address: str, namespace: str) -> str:
    """Return a URL under which pods of other namespaces reach what `address` is in the stack's own namespace.

    >>> from_outside("http://loki:3100/path", "tracing")
    'http://loki.tracing:3100/path'
    >>> from_outside("http://[fd00::1]:3100", "tracing")
    'http://[fd00::1]:3100'
    """
    parts = urlsplit(address)
    if parts.hostname is None or {".", ":"} & {*parts.hostname}:
        return address  # no Service of this namespace
    return parts._replace(netloc=parts.netloc.replace(parts.hostname, f"{parts.hostname}.{namespace}", 1)).geturl()


def pods(name: str) -> str:
    """Name of the headless Service behind which every pod of `name` has its own address; Prometheus scrapes these."""
    return f"{name}-pods"


def pod(name: str, number: int) -> str:
    """Address of one pod of a StatefulSet, in the stack's own namespace."""
    return f"{name}-{number}.{pods(name)}"


def track(name: str, track: Track) -> str:
    """Name of the Deployment that runs one track of a service."""
    return name if track == "stable" else f"{name}-{track}"
