"""The connections of a stack: who talks to whom, on which ports, and why.

The NetworkPolicies are derived from this table, and so is the picture in docs/connections.md. A connection exists in a
stack that has both of its ends. Replies need no entry.
"""

from dataclasses import dataclass
from typing import Final

from contracts import endpoints
from contracts.services import CRAWLER, GATEWAY, SERVICES, TASK_MANAGER

# Ends outside of the stack's namespace.
CLIENTS: Final = "clients"
"""Who submits tasks or looks at Grafana, through what the section `ingress` opens."""
SENDERS: Final = "senders"
"""Applications of other namespaces that send their spans."""
YOUR_PROMETHEUS: Final = "your-prometheus"
YOUR_GRAFANA: Final = "your-grafana"
DATABASE_OPERATOR: Final = "database-operator"
INTERNET: Final = "internet"
YOUR_KAFKA: Final = "your-kafka"
YOUR_DATABASE: Final = "your-database"
YOUR_TRACES: Final = "your-trace-store"
YOUR_TRACE_QUERIES: Final = "your-trace-queries"
YOUR_METRICS: Final = "your-metric-queries"
REMOTE_WRITE: Final = "remote-write"
YOUR_LOGS: Final = "your-log-store"
YOUR_LOG_QUERIES: Final = "your-log-queries"
YOUR_ALERTMANAGER: Final = "your-alertmanager"
RECEIVERS: Final = "receivers"
BUCKET: Final = "bucket"
LOG_BUCKET: Final = "log-bucket"
BACKUPS: Final = "backups"
CLOUD_IDENTITY: Final = "cloud-identity"
LOG_CLOUD_IDENTITY: Final = "log-cloud-identity"
IDENTITY_PROVIDER: Final = "identity-provider"
TOKEN_ISSUER: Final = "token-issuer"
GRAFANA_DATABASE: Final = "grafana-database"
GRAFANA_SITE: Final = "grafana-site"
YOUR_GRAFANA_API: Final = "your-grafana-api"
API_SERVER: Final = "api-server"

ENCRYPTED_TELEMETRY: Final = "encryption.telemetry"
"""No end, but a setting with which some connections do not exist."""

CLOUDNATIVEPG: Final = "postgres-cluster"
"""The pods that CloudNativePG's operator creates; they have its labels."""

OUTSIDE_CALLERS: Final = (CLIENTS, SENDERS, YOUR_PROMETHEUS, YOUR_GRAFANA, DATABASE_OPERATOR)

TEMPO_PARTS: Final = (
    endpoints.TEMPO,
    endpoints.TEMPO_DISTRIBUTOR,
    endpoints.TEMPO_LIVE_STORE,
    endpoints.TEMPO_BLOCK_BUILDER,
    endpoints.TEMPO_QUERIER,
    endpoints.TEMPO_BACKEND_SCHEDULER,
    endpoints.TEMPO_BACKEND_WORKER,
)
"""All parts of Tempo; the single binary has the name of the query frontend."""

TEMPO_WITH_KAFKA: Final = (endpoints.TEMPO_DISTRIBUTOR, endpoints.TEMPO_LIVE_STORE, endpoints.TEMPO_BLOCK_BUILDER)
"""The parts that write to Kafka or read from it."""

COMPONENTS: Final = (
    *SERVICES,
    endpoints.PROBE,
    endpoints.KAFKA,
    endpoints.KAFKA_USERS,
    endpoints.POSTGRES,
    CLOUDNATIVEPG,
    endpoints.COLLECTOR,
    endpoints.SAMPLER,
    *TEMPO_PARTS,
    endpoints.JAEGER,
    endpoints.PROMETHEUS,
    endpoints.LOKI,
    endpoints.ALERTMANAGER,
    endpoints.GRAFANA,
    endpoints.GRAFANA_PUBLISHER,
)
"""All components that have pods. No stack has all of them."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Pods of one component, or someone outside, connect to another."""

    caller: str
    target: str
    ports: tuple[int, ...] = ()
    """Of the target's pods. Empty for a target outside of the namespace, whose addresses are in the settings."""
    why: str
    protocols: tuple[str, ...] = ("TCP",)
    needs: str | None = None
    """A third end, without which the connection does not exist."""
    without: tuple[str, ...] = ()
    """Ends, and settings, with which the connection does not exist."""

    def exists(self, ends: frozenset[str]) -> bool:
        """Whether a stack with these ends and settings has the connection."""
        needed = {self.caller, self.target, *([self.needs] if self.needs else [])}
        return needed <= ends and not ends.intersection(self.without)


def _each(callers: tuple[str, ...], targets: tuple[str, ...], ports: tuple[int, ...], why: str) -> list[Connection]:
    return [Connection(caller=caller, target=target, ports=ports, why=why) for caller in callers for target in targets]


_OTLP: Final = (endpoints.OTLP_GRPC_PORT,)
_RECEIVER: Final = (*_OTLP, endpoints.OTLP_HTTP_PORT)
_KAFKA: Final = (endpoints.KAFKA_PORT, endpoints.KAFKA_TLS_PORT)
_HTTP: Final = (endpoints.SERVICE_PORT,)
_TRACE_QUERIES: Final = (
    (endpoints.TEMPO, (endpoints.TEMPO_HTTP_PORT,)),
    (endpoints.JAEGER, (endpoints.JAEGER_QUERY_PORT,)),
)
_TELEMETRY: Final = (
    endpoints.COLLECTOR_TELEMETRY_PORT,
    endpoints.COLLECTOR_SPAN_METRICS_PORT,
    endpoints.QUEUE_GUARD_PORT,
)
_TASKS: Final = (
    *_each((CLIENTS,), (GATEWAY,), _HTTP, "submit and read tasks"),
    *_each(SERVICES, (endpoints.KAFKA,), _KAFKA, "messages about tasks"),
    *[Connection(caller=service, target=YOUR_KAFKA, why="messages about tasks") for service in SERVICES],
    *_each((GATEWAY,), (TASK_MANAGER,), _HTTP, "reads tasks"),
    Connection(caller=GATEWAY, target=TOKEN_ISSUER, why="public keys of the identity provider"),
    *_each((TASK_MANAGER,), (endpoints.POSTGRES,), (endpoints.POSTGRES_PORT,), "stores tasks"),
    *_each((TASK_MANAGER,), (CLOUDNATIVEPG,), (endpoints.POSTGRES_PORT,), "stores tasks"),
    Connection(caller=TASK_MANAGER, target=YOUR_DATABASE, why="stores tasks"),
    Connection(caller=CRAWLER, target=INTERNET, why="fetches pages"),
    *_each((CRAWLER,), (GATEWAY,), _HTTP, "fetches the demo page, for the smoke check and the probe"),
    *_each(
        (endpoints.KAFKA,),
        (endpoints.KAFKA,),
        (endpoints.KAFKA_PORT, endpoints.KAFKA_CONTROLLER_PORT, *endpoints.KAFKA_TLS_PORTS),
        "replicates, and elects its controller",
    ),
    *_each(
        (endpoints.KAFKA_USERS,),
        (endpoints.KAFKA,),
        endpoints.KAFKA_TLS_PORTS,
        "writes users and rights, and checks certificates",
    ),
    *_each((CLOUDNATIVEPG,), (CLOUDNATIVEPG,), (endpoints.POSTGRES_PORT, 8000), "replicates"),
    *_each((DATABASE_OPERATOR,), (CLOUDNATIVEPG,), (endpoints.POSTGRES_PORT, 8000), "operates the servers"),
    Connection(caller=CLOUDNATIVEPG, target=API_SERVER, why="its servers elect their primary there"),
    Connection(caller=CLOUDNATIVEPG, target=BACKUPS, why="backups"),
)
_SPANS: Final = (
    # Services send over HTTP; those of an earlier deployment send over gRPC until they are replaced.
    *_each((*SERVICES, SENDERS), (endpoints.COLLECTOR,), _RECEIVER, "spans and logs"),
    Connection(
        caller=endpoints.COLLECTOR,
        target=endpoints.TEMPO,
        ports=_OTLP,
        why="spans",
        without=(endpoints.SAMPLER, endpoints.TEMPO_DISTRIBUTOR),
    ),
    *[
        Connection(caller=endpoints.COLLECTOR, target=store, ports=ports, why="spans", without=(endpoints.SAMPLER,))
        for store, ports in ((endpoints.TEMPO_DISTRIBUTOR, _OTLP), (endpoints.JAEGER, _OTLP), (YOUR_TRACES, ()))
    ],
    Connection(
        caller=endpoints.COLLECTOR,
        target=endpoints.KAFKA,
        ports=_KAFKA,
        why="spans for the samplers",
        needs=endpoints.SAMPLER,
    ),
    Connection(caller=endpoints.COLLECTOR, target=YOUR_KAFKA, why="spans for the samplers", needs=endpoints.SAMPLER),
    *_each((endpoints.SAMPLER,), (endpoints.KAFKA,), _KAFKA, "reads spans"),
    Connection(caller=endpoints.SAMPLER, target=YOUR_KAFKA, why="reads spans"),
    Connection(
        caller=endpoints.SAMPLER,
        target=endpoints.TEMPO,
        ports=_OTLP,
        why="sampled spans",
        without=(endpoints.TEMPO_DISTRIBUTOR,),
    ),
    *_each((endpoints.SAMPLER,), (endpoints.TEMPO_DISTRIBUTOR, endpoints.JAEGER), _OTLP, "sampled spans"),
    Connection(caller=endpoints.SAMPLER, target=YOUR_TRACES, why="sampled spans"),
    *_each((endpoints.COLLECTOR,), (endpoints.PROMETHEUS,), (endpoints.PROMETHEUS_PORT,), "metrics"),
    *_each((endpoints.COLLECTOR,), (endpoints.LOKI,), (endpoints.LOKI_PORT,), "logs"),
    Connection(caller=endpoints.COLLECTOR, target=YOUR_LOGS, why="logs"),
)
_STORES: Final = (
    *[
        Connection(
            caller=caller,
            target=target,
            ports=(endpoints.TEMPO_GRPC_PORT, endpoints.TEMPO_GOSSIP_PORT),
            why="parts of one Tempo",
            needs=endpoints.TEMPO_DISTRIBUTOR,
        )
        for caller in TEMPO_PARTS
        for target in TEMPO_PARTS
    ],
    *_each(
        TEMPO_WITH_KAFKA,
        (endpoints.KAFKA,),
        (endpoints.KAFKA_PORT, endpoints.KAFKA_PROXIED_PORT),
        "spans on their way to the bucket",
    ),
    *[
        Connection(caller=part, target=target, why=why)
        for part in TEMPO_PARTS
        for target, why in ((BUCKET, "blocks of traces"), (CLOUD_IDENTITY, "gets its identity from the cloud"))
    ],
    *[Connection(caller=part, target=YOUR_KAFKA, why="spans on their way to the bucket") for part in TEMPO_WITH_KAFKA],
    *_each(
        (endpoints.LOKI,),
        (endpoints.LOKI,),
        (endpoints.LOKI_PORT, endpoints.LOKI_GRPC_PORT, endpoints.LOKI_GOSSIP_PORT),
        "copies lines",
    ),
    Connection(caller=endpoints.LOKI, target=LOG_BUCKET, why="chunks and index"),
    Connection(caller=endpoints.LOKI, target=LOG_CLOUD_IDENTITY, why="gets its identity from the cloud"),
    *_each(
        (endpoints.ALERTMANAGER,),
        (endpoints.ALERTMANAGER,),
        (endpoints.ALERTMANAGER_CLUSTER_PORT,),
        "tells the others what it has sent",
    ),
    Connection(
        caller=endpoints.ALERTMANAGER,
        target=endpoints.ALERTMANAGER,
        ports=(endpoints.ALERTMANAGER_CLUSTER_PORT,),
        protocols=("UDP",),
        why="tells the others what it has sent",
        without=(ENCRYPTED_TELEMETRY,),
    ),
    Connection(caller=endpoints.ALERTMANAGER, target=RECEIVERS, why="notifications"),
    Connection(caller=endpoints.PROMETHEUS, target=REMOTE_WRITE, why="samples"),
    *_each((endpoints.PROMETHEUS,), (endpoints.ALERTMANAGER,), (endpoints.ALERTMANAGER_PORT,), "alerts, and scrapes"),
    Connection(caller=endpoints.PROMETHEUS, target=YOUR_ALERTMANAGER, why="alerts"),
)
_SCRAPED: Final = (
    *((name, _HTTP) for name in (*SERVICES, endpoints.PROBE)),
    (endpoints.COLLECTOR, _TELEMETRY),
    (endpoints.SAMPLER, _TELEMETRY),
    *((part, (endpoints.TEMPO_HTTP_PORT,)) for part in TEMPO_PARTS),
    (endpoints.JAEGER, (endpoints.JAEGER_TELEMETRY_PORT,)),
    (endpoints.LOKI, (endpoints.LOKI_PORT,)),
    (endpoints.GRAFANA_PUBLISHER, _HTTP),
)
_SCRAPES: Final = (
    *(Connection(caller=endpoints.PROMETHEUS, target=target, ports=ports, why="scrapes") for target, ports in _SCRAPED),
    *(
        Connection(caller=YOUR_PROMETHEUS, target=target, ports=ports, why="scrapes")
        for target, ports in (*_SCRAPED, (endpoints.ALERTMANAGER, (endpoints.ALERTMANAGER_PORT,)))
    ),
)


def _reads(caller: str) -> list[Connection]:
    """What a program that reads all stores connects to."""
    why = "queries"
    metrics = Connection(
        caller=caller,
        target=endpoints.PROMETHEUS,
        ports=(endpoints.PROMETHEUS_PORT,),
        why=why,
        without=(YOUR_METRICS,),  # a Prometheus in agent mode answers no query
    )
    stores = (*_TRACE_QUERIES, (endpoints.LOKI, (endpoints.LOKI_PORT,)))
    outside = (YOUR_METRICS, YOUR_TRACE_QUERIES, YOUR_LOG_QUERIES)
    return [
        metrics,
        *(Connection(caller=caller, target=target, ports=ports, why=why) for target, ports in stores),
        *(Connection(caller=caller, target=target, why=why) for target in outside),
    ]


_VIEWERS: Final = (
    *_each((CLIENTS,), (endpoints.GRAFANA,), (endpoints.GRAFANA_PORT,), "look at dashboards"),
    *_reads(endpoints.GRAFANA),
    *_each(
        (endpoints.GRAFANA, YOUR_GRAFANA), (endpoints.ALERTMANAGER,), (endpoints.ALERTMANAGER_PORT,), "shows alerts"
    ),
    Connection(caller=endpoints.GRAFANA, target=YOUR_ALERTMANAGER, why="shows alerts"),
    Connection(caller=endpoints.GRAFANA, target=GRAFANA_DATABASE, why="its own database"),
    Connection(caller=endpoints.GRAFANA, target=IDENTITY_PROVIDER, why="signs users in"),
    Connection(caller=endpoints.GRAFANA, target=GRAFANA_SITE, why="news, updates and plugins"),
    *[item for item in _reads(YOUR_GRAFANA) if item.target in COMPONENTS],
    Connection(caller=endpoints.GRAFANA_PUBLISHER, target=YOUR_GRAFANA_API, why="writes the dashboards"),
)
_PROBE: Final = (
    *_each((endpoints.PROBE,), (GATEWAY,), _HTTP, "submits a task"),
    *_each((endpoints.PROBE,), (endpoints.COLLECTOR,), (endpoints.OTLP_HTTP_PORT,), "sends its own span"),
    *_reads(endpoints.PROBE),
)

CONNECTIONS: Final = (*_TASKS, *_SPANS, *_STORES, *_SCRAPES, *_VIEWERS, *_PROBE)
"""All connections of all stacks."""


def connections(ends: frozenset[str]) -> tuple[Connection, ...]:
    """Return the connections of a stack that has these components, ends outside of it, and settings."""
    return tuple(connection for connection in CONNECTIONS if connection.exists(ends))
