"""Composes the components of a stack: which ones it has, and what each of them gets from the others."""

from dataclasses import dataclass

import pulumi

from contracts import endpoints
from stack.base import Base, make_base
from stack.components.alertmanager.component import Alertmanager, AlertmanagerArgs
from stack.components.collector.component import Collector, CollectorArgs
from stack.components.collector.sampler import Sampler, SamplerArgs
from stack.components.encryption.clients import otlp_secrets, query_access, speaks_tls, trusted
from stack.components.encryption.settings import STEPS
from stack.components.grafana.args import GrafanaArgs
from stack.components.grafana.choice import grafana
from stack.components.grafana.content import Content
from stack.components.ingress.component import Ingress, IngressArgs
from stack.components.kafka.access import KafkaAccess, external_access, own_access
from stack.components.kafka.component import Kafka, KafkaArgs
from stack.components.kafka.config import bootstrap_servers
from stack.components.kafka.users import KafkaUsers, KafkaUsersArgs
from stack.components.loki.component import LokiArgs, log_store
from stack.components.network.component import NetworkPolicies, NetworkPoliciesArgs
from stack.components.postgres.choice import database
from stack.components.postgres.component import PostgresArgs
from stack.components.probe.component import Probe, ProbeArgs
from stack.components.prometheus.component import PrometheusArgs
from stack.components.prometheus.store import MetricStore, metric_store
from stack.components.secrets.component import SecretValues, with_authorizations
from stack.components.services.component import Services, ServicesArgs
from stack.components.shared.store import QueryApi, StoreAddresses
from stack.components.trace_store.component import trace_store
from stack.components.trace_store.interface import TraceStoreArgs
from stack.settings import Settings
from stack.settings.certificates import certified
from stack.settings.monitoring import monitoring_config
from stack.settings.network import network_plan
from stack.settings.scraping import scraping


@dataclass(frozen=True, kw_only=True)
class _Stores:
    """The stores of telemetry."""

    traces: StoreAddresses
    metrics: MetricStore
    logs: StoreAddresses | None

    @property
    def log_queries(self) -> QueryApi | None:
        return self.logs.queries if self.logs else None


def build(
    settings: Settings, secrets: SecretValues, opts: pulumi.ResourceOptions | None = None
) -> dict[str, pulumi.Output[str]]:
    """Create all resources of the stack.

    Args:
        settings: its settings, complete and checked.
        secrets: its secrets.
        opts: of all resources, with a provider for the cluster. By default they have the provider of the context that
            the settings name.

    Returns:
        The outputs of the stack, by name.
    """
    base = make_base(settings, with_authorizations(secrets), opts)
    _network(base)
    brokers = _kafka(base)
    stores = _stores(base, brokers)
    alertmanager = _alertmanager(base)
    collector = _collector(base, brokers, stores)
    services = _services(base, brokers, collector)
    grafana_url = _grafana(base, stores, alertmanager)
    _probe(base, stores, collector, services)
    _ingress(base)
    return {
        "namespace": base.namespace,
        **({"gateway": services.gateway} if services else {"otlp": collector.otlp_endpoint}),
        "prometheus": pulumi.Output.from_input(stores.metrics.queries.url),
        **({"traces": pulumi.Output.from_input(stores.traces.queries.url)} if stores.traces.queries else {}),
        **({"alertmanager": pulumi.Output.from_input(alertmanager.url)} if alertmanager else {}),
        **({"logs": pulumi.Output.from_input(stores.log_queries.url)} if stores.log_queries else {}),
        **({"grafana": grafana_url} if grafana_url else {}),
    }


def _network(base: Base) -> NetworkPolicies | None:
    if not base.settings.network.enabled:
        return None
    args = NetworkPoliciesArgs(namespace=base.namespace, plan=network_plan(base.settings))
    return NetworkPolicies("network", args, base.opts)


def _kafka(base: Base) -> KafkaAccess:
    """Create Kafka if the stack needs one of its own, and return the way to it, which nothing reads otherwise."""
    settings = base.settings
    publish_seconds = settings.kafka.publish_limit
    if settings.kafka.external:
        return external_access(settings.kafka.external, publish_seconds)
    if not settings.has_kafka:
        return own_access("", publish_seconds, None)
    encryption = settings.encryption.kafka
    issuers = base.issuers if encryption else None
    args = KafkaArgs(
        namespace=base.namespace,
        settings=settings.kafka,
        storage_class=base.storage_class,
        encryption=encryption,
        issuers=issuers,
    )
    brokers = Kafka("kafka", args, base.opts)
    if issuers is None:
        return own_access(brokers.bootstrap_servers, publish_seconds, None)
    assert settings.images
    users_args = KafkaUsersArgs(
        namespace=base.namespace,
        secret=base.secret,
        image=settings.images.service,
        issuers=issuers,
        address=bootstrap_servers(settings.kafka.brokers, endpoints.KAFKA_BROKER_TLS_PORT),
        broker_certificate=brokers.certificate,
    )
    KafkaUsers("kafka-users", users_args, base.opts)
    if not STEPS[encryption].speaks_tls:
        return own_access(brokers.bootstrap_servers, publish_seconds, None)
    return own_access(brokers.bootstrap_servers, publish_seconds, base.authority, issuers.callers)


def _stores(base: Base, brokers: KafkaAccess) -> _Stores:
    settings = base.settings
    trace_args = TraceStoreArgs(
        namespace=base.namespace,
        settings=settings.traces,
        retention=settings.retention,
        storage_class=base.storage_class,
        secret=base.secret,
        kafka=settings.kafka,
        brokers=brokers,
        protection=base.protection,
    )
    prometheus_args = PrometheusArgs(
        namespace=base.namespace,
        secret=base.secret,
        settings=settings.metrics,
        retention=settings.retention,
        storage_class=base.storage_class,
        scraping=scraping(settings),
        monitoring=monitoring_config(settings),
        grafana_url=settings.grafana.url,
        protection=base.protection,
    )
    loki_args = LokiArgs(
        namespace=base.namespace,
        settings=settings.logs,
        retention=settings.retention,
        storage_class=base.storage_class,
        secret=base.secret,
        protection=base.protection,
    )
    return _Stores(
        traces=trace_store(trace_args, base.opts),
        metrics=metric_store(prometheus_args, base.opts),
        logs=log_store(loki_args, base.opts) if settings.logs.enabled else None,
    )


def _alertmanager(base: Base) -> QueryApi | None:
    """Return the API of Alertmanager; create it, unless it is an external one."""
    settings = base.settings.alerting
    if settings.enabled and settings.external:
        return QueryApi(url=settings.external.urls[0])
    if not settings.built:
        return None
    args = AlertmanagerArgs(
        namespace=base.namespace,
        secret=base.secret,
        settings=settings,
        storage_class=base.storage_class,
        protection=base.protection,
    )
    url = Alertmanager("alertmanager", args, base.opts).url
    return QueryApi(url=url, access=query_access(base.protection))


def _collector(base: Base, brokers: KafkaAccess, stores: _Stores) -> Collector:
    """Create the Collectors, and with tail sampling the samplers."""
    settings = base.settings.collector
    args = CollectorArgs(
        namespace=base.namespace,
        secret=base.secret,
        settings=settings,
        storage_class=base.storage_class,
        trace_store=stores.traces,
        scrape_seconds=base.settings.metrics.scrape_interval_seconds,
        metric_stores=stores.metrics.otlp,
        metric_secrets=otlp_secrets(base.protection),
        log_store=stores.logs,
        brokers=brokers,
        protection=base.protection,
    )
    if settings.sampling:
        sampler_args = SamplerArgs(
            namespace=base.namespace,
            settings=settings.sampling,
            kafka=base.settings.kafka,
            storage_class=base.storage_class,
            trace_store=stores.traces,
            secret=base.secret,
            scrape_seconds=base.settings.metrics.scrape_interval_seconds,
            brokers=brokers,
            protection=base.protection,
        )
        Sampler("sampler", sampler_args, base.opts)
    return Collector("collector", args, base.opts)


def _services(base: Base, brokers: KafkaAccess, collector: Collector) -> Services | None:
    """Create the services and their database."""
    settings = base.settings
    if not settings.services.enabled:
        return None
    postgres_args = PostgresArgs(
        namespace=base.namespace,
        secret=base.secret,
        settings=settings.postgres,
        storage_class=base.storage_class,
        issuer=base.issuers.servers if base.issuers and settings.encryption.postgres else None,
        authority=base.authority,
    )
    args = ServicesArgs(
        namespace=base.namespace,
        secret=base.secret,
        settings=settings.services,
        image=settings.service_image,
        tasks=settings.tasks,
        access=settings.access if settings.has_access_control else None,
        tracing=settings.tracing,
        release=settings.release,
        environment=settings.environment,
        topic_partitions=settings.kafka.partitions,
        export_logs=settings.logs.enabled,
        sampling=settings.collector.sampling,
        otlp_endpoint=collector.otlp_http_endpoint,
        otlp_encrypted=speaks_tls(base.protection),
        protection=base.service_protection,
        gateway_annotations=settings.ingress.service_annotations if settings.ingress else {},
        brokers=brokers,
        database=database(postgres_args, base.opts),
    )
    return Services("services", args, base.opts)


def _probe(base: Base, stores: _Stores, collector: Collector, services: Services | None) -> Probe | None:
    settings = base.settings
    if services is None or not settings.has_probe:
        return None
    assert stores.traces.queries
    args = ProbeArgs(
        namespace=base.namespace,
        settings=settings.probe,
        visible_seconds=settings.objectives.visible_seconds,
        image=settings.service_image,
        trace_backend=settings.traces.backend,
        tail_sampling=settings.collector.sampling is not None,
        secret=base.secret,
        environment=settings.environment,
        gateway_url=services.gateway,
        protection=base.service_protection,
        needs_key=settings.has_access_control,
        collector_url=collector.otlp_http_endpoint,
        collector_ca=trusted(base.protection),
        traces=stores.traces.queries,
        metrics=stores.metrics.queries,
        logs=stores.log_queries,
        certified=certified(settings),
    )
    return Probe("probe", args, base.opts)


def _ingress(base: Base) -> Ingress | None:
    settings = base.settings
    if settings.ingress is None:
        return None
    args = IngressArgs(
        namespace=base.namespace,
        settings=settings.ingress,
        grafana_url=settings.grafana.url,
        encrypted=STEPS[settings.encryption.services].speaks_tls,
    )
    return Ingress("ingress", args, base.opts)


def _grafana(base: Base, stores: _Stores, alertmanager: QueryApi | None) -> pulumi.Output[str] | None:
    """Return the URL of Grafana; create it, or what an external one gets."""
    settings = base.settings
    if not settings.grafana.enabled:
        return None
    opened = settings.ingress.grafana if settings.ingress else None
    content = Content(
        namespace=settings.cluster.namespace if settings.grafana.external else None,
        monitoring=monitoring_config(settings),
        traces=stores.traces.queries,
        metrics=stores.metrics.queries,
        logs=stores.log_queries,
        alertmanager=alertmanager,
    )
    args = GrafanaArgs(
        namespace=base.namespace,
        secret=base.secret,
        secrets=base.secrets,
        settings=settings.grafana,
        storage_class=base.storage_class,
        content=content,
        image=settings.images.service if settings.images else None,
        protection=base.service_protection,
        service_annotations=opened.service_annotations if opened else {},
    )
    return grafana(args, base.opts)
