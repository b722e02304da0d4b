"""The Collectors that receive the services' telemetry: they count the spans, queue them on disk and export them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from collector import pipeline
from collector.pipeline import OtlpTarget
from contracts import endpoints, secret_keys, versions
from stack.components.collector.autoscaler import autoscaler
from stack.components.collector.memory import garbage_collection
from stack.components.collector.pod import CollectorConfig, queueing_pod
from stack.components.collector.settings import Collector as CollectorSettings
from stack.components.encryption.clients import base_url
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.config import LOOPBACK
from stack.components.encryption.proxy.pod import ProxyOptions, protect
from stack.components.encryption.server import CERTIFICATE_FILE, KEY_FILE
from stack.components.kafka.access import KafkaAccess
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.service import services
from stack.components.shared.storage import SecretFiles
from stack.components.shared.store import StoreAddresses, environment_name, without_repetition
from stack.components.shared.workload import Volume, stateful_set


@dataclass(frozen=True, kw_only=True)
class CollectorArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the Secret with the accepted bearer tokens and the credentials of stores."""
    settings: CollectorSettings
    storage_class: str | None
    trace_store: StoreAddresses
    metric_stores: pulumi.Input[list[OtlpTarget]]
    """All metrics go to each of them."""
    log_store: StoreAddresses | None
    brokers: KafkaAccess
    scrape_seconds: int
    """Time between two scrapes of the span metrics, in s."""
    metric_secrets: tuple[str, ...] = ()
    """Keys of the secrets in the headers of `metric_stores`."""
    protection: Protection | None = None


class Collector(pulumi.ComponentResource):
    """Collectors that each have a queue on disk. With tail sampling they export the spans to Kafka, for `Sampler`."""

    otlp_endpoint: pulumi.Output[str]
    """URL that accepts OTLP over gRPC, with the bearer token."""
    otlp_http_endpoint: pulumi.Output[str]
    """URL that accepts OTLP over HTTP, with the same token."""

    def __init__(self, name: str, args: CollectorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Collector", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        config = CollectorConfig("collector-config", _configuration(args), args.namespace, child)
        tokens = SecretFiles(secret=args.secret, keys={secret_keys.OTLP_TOKENS: pipeline.TOKEN_FILE})
        pod = queueing_pod(
            endpoints.COLLECTOR,
            settings,
            config,
            image=settings.image or versions.COLLECTOR,
            ports={
                "otlp-grpc": endpoints.OTLP_GRPC_PORT,
                "otlp-http": endpoints.OTLP_HTTP_PORT,
                "span-metrics": endpoints.COLLECTOR_SPAN_METRICS_PORT,
            },
            secrets={
                pipeline.TOKEN_DIRECTORY: tokens,
                **({pipeline.CERTIFICATE_DIRECTORY: _certificate(args.protection)} if args.protection else {}),
            },
            env=[
                *variables(**garbage_collection(settings.memory)),
                *without_repetition(_credentials(args)),
                *(args.brokers.password(endpoints.COLLECTOR, args.secret) if settings.sampling else ()),
            ],
            address=LOOPBACK if args.protection else None,
        )
        # The receivers have TLS and tokens of their own: a proxy of requests would keep each connection at one
        # Collector.
        pod = protect(
            pod,
            args.protection,
            child,
            ProxyOptions(
                plain=("otlp-grpc", "otlp-http", "health"),
                further={"queue-guard": endpoints.QUEUE_GUARD_PORT},
                own_tls=(endpoints.OTLP_GRPC_PORT, endpoints.OTLP_HTTP_PORT),
                hosts=("localhost",),  # of a port-forward
            ),
        )
        services(pod, args.namespace, child)
        stateful_set(
            pod,
            args.namespace,
            Volume(size=settings.queue_volume, storage_class=args.storage_class),
            child,
            replicas=settings.replicas,
            autoscaled=settings.autoscaling is not None,
        )
        if settings.autoscaling:
            autoscaler(pod, args.namespace, settings.replicas, settings.autoscaling, child)
        self.otlp_endpoint = pulumi.Output.from_input(
            base_url(endpoints.COLLECTOR, endpoints.OTLP_GRPC_PORT, args.protection)
        )
        self.otlp_http_endpoint = pulumi.Output.from_input(
            base_url(endpoints.COLLECTOR, endpoints.OTLP_HTTP_PORT, args.protection)
        )
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "otlp_http_endpoint": self.otlp_http_endpoint})


def _stores(args: CollectorArgs) -> Iterator[StoreAddresses]:
    """Yield the stores that the Collectors send to; with sampling, the samplers send to the trace store."""
    if not args.settings.sampling:
        yield args.trace_store
    if args.log_store:
        yield args.log_store


def _credentials(args: CollectorArgs) -> Iterator[k8s.core.v1.EnvVarArgs]:
    """Yield the variables with the secrets in the headers of what the Collectors send."""
    for store in _stores(args):
        yield from store.otlp_variables(args.secret)
    for key in args.metric_secrets:
        yield secret_variable(environment_name(key), key, args.secret)


def _certificate(protection: Protection) -> SecretFiles:
    files = {CERTIFICATE_FILE: pipeline.CERTIFICATE_FILE, KEY_FILE: pipeline.KEY_FILE}
    return SecretFiles(secret=protection.issuers.servers.secret_name(endpoints.COLLECTOR), keys=files)


def _configuration(args: CollectorArgs) -> pulumi.Output[str]:
    return pulumi.Output.all(
        trace_store=args.trace_store.otlp,
        metric_stores=args.metric_stores,
        log_store=args.log_store.otlp if args.log_store else None,
        kafka=args.brokers.collector_target(endpoints.COLLECTOR),
    ).apply(
        lambda addresses: pipeline.render(
            pipeline.Pipeline(
                trace_store=addresses["trace_store"],
                metric_stores=addresses["metric_stores"],
                log_store=addresses["log_store"],
                queue_size=args.settings.queue_size,
                metrics_flush_interval=f"{args.scrape_seconds}s",
                sampled_through=addresses["kafka"] if args.settings.sampling else None,
                own_distribution=args.settings.image is not None,
                encrypted=args.protection is not None,
                takes_plain=args.protection is not None and args.protection.step.takes_plain,
            )
        )
    )
