"""The Pulumi program: settings in, components built, outputs exported. Nothing else reads configuration or exports."""

import pulumi

from contracts.errors import UserError
from stack.components.alertmanager.component import Alertmanager, AlertmanagerArgs
from stack.components.cluster.namespace import Namespace, NamespaceArgs
from stack.components.cluster.pod_defaults import placement
from stack.components.cluster.provider import provider
from stack.components.collector.component import Collector, CollectorArgs
from stack.components.collector.sampler import Sampler, SamplerArgs
from stack.components.grafana.component import Grafana, GrafanaArgs
from stack.components.kafka.component import Kafka, KafkaArgs
from stack.components.loki.component import Loki, LokiArgs
from stack.components.postgres.component import Postgres, PostgresArgs
from stack.components.prometheus.component import Prometheus, PrometheusArgs
from stack.components.secrets.component import Secrets, SecretsArgs
from stack.components.secrets.rotation import roll_with_secrets
from stack.components.services.component import Services, ServicesArgs
from stack.components.trace_store.component import trace_store
from stack.components.trace_store.interface import TraceStoreArgs
from stack.deploy import plain_pulumi
from stack.settings.engine import from_engine
from stack.settings.monitoring import monitoring_config

try:
    config = from_engine()
    plain_pulumi.check_before_update()
except UserError as error:
    raise pulumi.RunError(str(error)) from None
opts = pulumi.ResourceOptions(
    provider=provider(config.cluster), transformations=[placement(config.cluster), roll_with_secrets]
)
storage = config.cluster.storage_class

namespace = Namespace(
    "namespace",
    NamespaceArgs(
        name=config.cluster.namespace,
        stack=pulumi.get_stack(),
        environment=config.environment,
        protect=config.cluster.protect_data,
    ),
    opts,
).name
secret = Secrets(
    "secrets",
    SecretsArgs(namespace=namespace, protect=config.cluster.protect_data, needed=config.alerting.needed_secrets),
    opts,
).name

postgres = Postgres(
    "postgres",
    PostgresArgs(namespace=namespace, secret=secret, settings=config.postgres, storage_class=storage),
    opts,
)
kafka = Kafka("kafka", KafkaArgs(namespace=namespace, settings=config.kafka, storage_class=storage), opts)
store = trace_store(
    TraceStoreArgs(
        namespace=namespace,
        settings=config.traces,
        retention=config.retention,
        storage_class=storage,
        secret=secret,
        kafka=config.kafka,
        bootstrap_servers=kafka.bootstrap_servers,
    ),
    opts,
)
logs = None
if config.logs.enabled:
    logs = Loki(
        "loki",
        LokiArgs(namespace=namespace, settings=config.logs, retention=config.retention, storage_class=storage),
        opts,
    )
alerts = None
if config.alerting.enabled:
    alerts = Alertmanager(
        "alertmanager",
        AlertmanagerArgs(namespace=namespace, secret=secret, settings=config.alerting, storage_class=storage),
        opts,
    )
monitoring = monitoring_config(config)
prometheus = Prometheus("prometheus", PrometheusArgs(namespace=namespace, settings=config, monitoring=monitoring), opts)
collector = Collector(
    "collector",
    CollectorArgs(
        namespace=namespace,
        secret=secret,
        settings=config.collector,
        storage_class=storage,
        trace_store=store.otlp_endpoint,
        metric_store=prometheus.otlp_url,
        log_store=logs.otlp_url if logs else None,
        bootstrap_servers=kafka.bootstrap_servers,
    ),
    opts,
)
if config.collector.sampling:
    Sampler(
        "sampler",
        SamplerArgs(
            namespace=namespace,
            settings=config.collector.sampling,
            kafka=config.kafka,
            storage_class=storage,
            trace_store=store.otlp_endpoint,
            bootstrap_servers=kafka.bootstrap_servers,
        ),
        opts,
    )
services = Services(
    "services",
    ServicesArgs(
        namespace=namespace,
        secret=secret,
        settings=config,
        otlp_endpoint=collector.otlp_endpoint,
        bootstrap_servers=kafka.bootstrap_servers,
        database_url=postgres.url,
    ),
    opts,
)
if config.grafana.enabled:
    grafana = Grafana(
        "grafana",
        GrafanaArgs(
            namespace=namespace,
            secret=secret,
            settings=config,
            monitoring=monitoring,
            traces_url=store.query_url,
            prometheus_url=prometheus.url,
            loki_url=logs.query_url if logs else None,
            alertmanager_url=alerts.url if alerts else None,
        ),
        opts,
    )
    pulumi.export("grafana", grafana.url)

pulumi.export("namespace", namespace)
pulumi.export("gateway", services.gateway)
pulumi.export("prometheus", prometheus.url)
pulumi.export("traces", store.query_url)
if alerts:
    pulumi.export("alertmanager", alerts.url)
if logs:
    pulumi.export("logs", logs.query_url)
