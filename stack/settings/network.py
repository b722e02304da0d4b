"""Derives from the settings of a stack which components it has, and what is outside of its namespace."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from contracts import connections as ends
from contracts import endpoints
from contracts.services import GATEWAY, SERVICES
from stack.components.encryption.settings import STEPS
from stack.components.network.policies import Outside, Plan
from stack.components.network.settings import Callers
from stack.components.shared.external_store import ExternalStore
from stack.components.shared.object_storage import HTTPS_PORT, ObjectStorage
from stack.components.trace_store import scrape as trace_store
from stack.settings.tree import Settings

_IN_CLUSTER = ".svc"
_IDENTITY = Outside(ranges=("169.254.0.0/16",))
"""Where clouds serve pods their identity."""
_API_SERVER_PORTS = (443, 6443)


def network_plan(settings: Settings) -> Plan:
    """Return what the NetworkPolicies of a stack depend on."""
    opened = {
        GATEWAY: settings.ingress is not None and settings.ingress.task_api is not None,
        endpoints.GRAFANA: settings.ingress is not None and settings.ingress.grafana is not None,
    }
    return Plan(
        components=components(settings),
        callers=_callers(settings),
        targets=dict(_targets(settings)),
        dns=settings.cluster.dns,
        cluster_ranges=settings.cluster.ranges,
        settings=frozenset([ends.ENCRYPTED_TELEMETRY] if STEPS[settings.encryption.telemetry].speaks_tls else []),
        open_to_all=frozenset(name for name, is_open in opened.items() if is_open),
    )


def components(settings: Settings) -> frozenset[str]:
    """Return the components of a stack that have pods."""
    external = settings.grafana.external
    metrics = settings.metrics.external
    has_database = settings.services.enabled and not settings.postgres.external
    has = {
        **dict.fromkeys(SERVICES, settings.services.enabled),
        endpoints.PROBE: settings.has_probe,
        endpoints.KAFKA: settings.has_kafka and not settings.kafka.external,
        endpoints.KAFKA_USERS: bool(settings.encryption.kafka),
        endpoints.POSTGRES: has_database and not settings.postgres.cloudnativepg,
        ends.CLOUDNATIVEPG: has_database and settings.postgres.cloudnativepg,
        endpoints.COLLECTOR: True,
        endpoints.SAMPLER: settings.collector.sampling,
        **(dict.fromkeys(trace_store.pods(settings.traces), True) if settings.traces.external is None else {}),
        endpoints.PROMETHEUS: metrics is None or metrics.remote_write,
        endpoints.LOKI: settings.logs.enabled and not settings.logs.external,
        endpoints.ALERTMANAGER: settings.alerting.built,
        endpoints.GRAFANA: settings.grafana.built,
        endpoints.GRAFANA_PUBLISHER: external and external.api,
    }
    return frozenset(name for name, value in has.items() if value)


def _callers(settings: Settings) -> dict[str, Callers | None]:
    network, everywhere = settings.network, Callers()
    callers: dict[str, Callers | None] = {}
    if settings.ingress:
        callers[ends.CLIENTS] = network.front_door
    if network.senders or not settings.services.enabled:
        callers[ends.SENDERS] = network.senders or everywhere
    if settings.metrics.external and settings.metrics.external.pod_monitors:
        callers[ends.YOUR_PROMETHEUS] = network.telemetry or everywhere
    if network.telemetry or (settings.grafana.enabled and settings.grafana.external):
        callers[ends.YOUR_GRAFANA] = network.telemetry or everywhere
    if settings.postgres.cloudnativepg:
        callers[ends.DATABASE_OPERATOR] = everywhere
    return callers


def _targets(settings: Settings) -> Iterator[tuple[str, Outside]]:
    """Yield each end outside of the namespace that the stack connects to, and where it is."""
    for name, addresses in _addresses(settings):
        yield name, _outside(settings, addresses)
    ranges = settings.network.outside
    if settings.traces.object_storage:
        yield from _bucket(settings.traces.object_storage, ranges, ends.BUCKET, ends.CLOUD_IDENTITY)
    if settings.logs.enabled and settings.logs.object_storage:
        yield from _bucket(settings.logs.object_storage, ranges, ends.LOG_BUCKET, ends.LOG_CLOUD_IDENTITY)
    if settings.postgres.cloudnativepg:
        yield ends.API_SERVER, Outside(ranges=ranges, ports=_API_SERVER_PORTS)
    alerting = settings.alerting
    if alerting.built and (alerting.page.any or alerting.heartbeat_minutes):
        # The URLs of webhooks are secrets, so their ports are not known here.
        yield ends.RECEIVERS, Outside(ranges=ranges)


def _addresses(settings: Settings) -> Iterator[tuple[str, list[str]]]:
    """Yield each end outside of the namespace that the settings name, and its URLs or `host:port`."""
    if settings.has_kafka and settings.kafka.external:
        yield ends.YOUR_KAFKA, settings.kafka.external.bootstrap_servers.split(",")
    provider = settings.access.identity_provider
    if settings.services.enabled and settings.has_access_control and provider:
        yield ends.TOKEN_ISSUER, [provider.keys_url]
    if settings.services.enabled and settings.postgres.external:
        yield ends.YOUR_DATABASE, list(settings.postgres.external.hosts)
    database = settings.postgres.cloudnativepg
    if database and database.backup:
        yield ends.BACKUPS, [database.backup.endpoint or "https://s3.amazonaws.com"]
    yield from _store(settings.traces.external, ends.YOUR_TRACES, ends.YOUR_TRACE_QUERIES)
    if settings.logs.enabled:
        yield from _store(settings.logs.external, ends.YOUR_LOGS, ends.YOUR_LOG_QUERIES)
    if metrics := settings.metrics.external:
        yield ends.YOUR_METRICS, [metrics.query_url]
        if metrics.remote_write:
            yield ends.REMOTE_WRITE, [metrics.remote_write.url]
    if settings.alerting.enabled and settings.alerting.external:
        yield ends.YOUR_ALERTMANAGER, list(settings.alerting.external.urls)
    yield from _grafana(settings)


def _grafana(settings: Settings) -> Iterator[tuple[str, list[str]]]:
    grafana = settings.grafana
    if grafana.external and grafana.external.api:
        yield ends.YOUR_GRAFANA_API, [grafana.api_url]
    if grafana.built and grafana.database:
        yield ends.GRAFANA_DATABASE, [grafana.database.host]
    if grafana.built and grafana.oidc:
        yield ends.IDENTITY_PROVIDER, [grafana.oidc.token_url, grafana.oidc.api_url]
    if grafana.built and grafana.internet:
        yield ends.GRAFANA_SITE, ["https://grafana.com"]


def _store(store: ExternalStore | None, receiver: str, queries: str) -> Iterator[tuple[str, list[str]]]:
    if store:
        yield receiver, [store.receiver]
        if store.query_url:
            yield queries, [store.query_url]


def _bucket(
    storage: ObjectStorage, ranges: tuple[str, ...], bucket: str, identity: str
) -> Iterator[tuple[str, Outside]]:
    has_identity = storage.identity is not None
    hosts = [f"{storage.s3.endpoint.partition(':')[0]}:{storage.port}"] if storage.s3 else []
    namespaces = tuple(name for name, _ in map(_place, hosts) if name)
    # The cloud exchanges the pods' identity for keys at an address of its own.
    ports = sorted({storage.port, *((HTTPS_PORT,) if has_identity else ())})
    yield bucket, Outside(namespaces=namespaces, ranges=ranges, ports=tuple(ports))
    if has_identity:
        yield identity, _IDENTITY


def _outside(settings: Settings, addresses: Iterable[str]) -> Outside:
    places = [_place(address) for address in addresses]
    namespaces = tuple(dict.fromkeys(name for name, _ in places if name))
    ports = tuple(sorted({port for _, port in places if port}))
    return Outside(namespaces=namespaces, ranges=settings.network.outside, ports=ports)


def _place(address: str) -> tuple[str | None, int | None]:
    """Return the namespace, if the address is a Service's name, and the port.

    >>> _place("kafka.messaging:9092")
    ('messaging', 9092)
    >>> _place("https://tempo.example.com")
    (None, 443)
    """
    url = urlsplit(address if "://" in address else f"//{address}")
    port = url.port or {"https": 443, "http": 80}.get(url.scheme)
    labels = (url.hostname or "").split(".")
    # A name of two labels may also be a domain of the internet: then there is no such namespace.
    is_service = len(labels) == 2 or labels[2:3] == [_IN_CLUSTER[1:]]
    return (labels[1] if is_service else None), port
