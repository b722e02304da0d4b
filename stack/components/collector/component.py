"""The OpenTelemetry Collector: takes the services' spans, counts them, queues them on disk, hands them to the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from collector import pipeline
from contracts import endpoints, secret_keys, versions
from stack.components.collector.settings import Autoscaling, Queueing
from stack.components.collector.settings import Collector as CollectorSettings
from stack.components.shared import workload
from stack.components.shared.object_meta import object_meta

_UID: Final = 10001
_CONFIG: Final = "/etc/otelcol"


@dataclass(frozen=True, kw_only=True)
class CollectorArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    settings: CollectorSettings
    storage_class: str | None
    trace_store: pulumi.Input[str]
    metric_store: pulumi.Input[str]
    log_store: pulumi.Input[str] | None
    bootstrap_servers: pulumi.Input[str]


class Collector(pulumi.ComponentResource):
    """Collectors that each own a queue on disk. Where traces are sampled they hand them to the samplers (`Sampler`)."""

    otlp_endpoint: pulumi.Output[str]
    """URL that takes OTLP over gRPC, with the bearer token."""

    def __init__(self, name: str, args: CollectorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Collector", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        text = pulumi.Output.all(
            trace_store=args.trace_store,
            metric_store=args.metric_store,
            log_store=args.log_store,
            brokers=args.bootstrap_servers,
        ).apply(
            lambda to: pipeline.render(
                pipeline.Pipeline(
                    trace_store=to["trace_store"],
                    metric_store=to["metric_store"],
                    log_store=to["log_store"],
                    queue_size=settings.queue_size,
                    sampled_through=to["brokers"] if settings.sampling else None,
                )
            )
        )
        config = workload.config_map("collector-config", "collector", args.namespace, collector_files(text), child)
        pod = queueing_pod(
            endpoints.COLLECTOR,
            settings,
            config,
            text,
            ports={
                "otlp-grpc": endpoints.OTLP_GRPC_PORT,
                "otlp-http": endpoints.OTLP_HTTP_PORT,
                "span-metrics": endpoints.COLLECTOR_SPAN_METRICS_PORT,
            },
            secret_files={pipeline.TOKEN_DIRECTORY: (args.secret, {secret_keys.OTLP_TOKENS: pipeline.TOKEN_FILE})},
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(
            pod,
            args.namespace,
            settings.queue_volume,
            args.storage_class,
            child,
            settings.replicas,
            autoscaled=settings.autoscaling is not None,
        )
        if settings.autoscaling:
            _autoscaler(pod, args.namespace, settings.replicas, settings.autoscaling, child)
        self.otlp_endpoint = pulumi.Output.from_input(endpoints.url(endpoints.COLLECTOR, endpoints.OTLP_GRPC_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint})


def collector_files(text: pulumi.Input[str]) -> dict[str, pulumi.Input[str]]:
    """What is in the ConfigMap of a Collector with this configuration."""
    return {"config.yaml": text, pipeline.GUARD.name: pipeline.GUARD.read_text()}


def _queue_guard() -> k8s.core.v1.ContainerArgs:
    """Checks the queue's files before the Collector starts, and between two starts; it runs as long as the pod.

    An init container that ends would not run again when the Collector alone is restarted. Its image is not the
    services', since each release of theirs would restart the Collectors.
    """
    core = k8s.core.v1
    return core.ContainerArgs(
        name="queue-guard",
        image=versions.PYTHON,
        image_pull_policy="IfNotPresent",
        restart_policy="Always",
        command=["python3", f"{_CONFIG}/{pipeline.GUARD.name}", pipeline.QUEUE_DIRECTORY],
        args=[
            f"--port={endpoints.QUEUE_GUARD_PORT}",
            f"--telemetry={endpoints.url('127.0.0.1', endpoints.COLLECTOR_TELEMETRY_PORT)}/metrics",
        ],
        resources=core.ResourceRequirementsArgs(requests={"cpu": "10m", "memory": "48Mi"}, limits={"memory": "48Mi"}),
        security_context=workload.container_security(),
        volume_mounts=[
            core.VolumeMountArgs(name="data", mount_path=pipeline.QUEUE_DIRECTORY),
            core.VolumeMountArgs(name=workload.volume_name(_CONFIG), mount_path=_CONFIG, read_only=True),
        ],
        # The Collector starts when the first look is over; a large queue takes seconds.
        startup_probe=workload.http_probe("/", endpoints.QUEUE_GUARD_PORT, period=1, failures=300),
        termination_message_policy="FallbackToLogsOnError",
    )


def queueing_pod(
    name: str,
    settings: Queueing,
    config: k8s.core.v1.ConfigMap,
    text: pulumi.Input[str],
    *,
    ports: Mapping[str, int] = {},
    secret_files: Mapping[str, tuple[pulumi.Input[str], Mapping[str, str]]] = {},
    init: tuple[k8s.core.v1.ContainerArgs, ...] = (),
) -> workload.Pod:
    """A Collector that runs a configuration, with its queue on a volume of its own."""
    return workload.Pod(
        name=name,
        component="collector",
        image=versions.COLLECTOR,
        user=_UID,
        size=settings,
        ports={
            **ports,
            "telemetry": endpoints.COLLECTOR_TELEMETRY_PORT,
            "health": endpoints.COLLECTOR_HEALTH_PORT,
        },
        args=[f"--config={_CONFIG}/config.yaml"],
        # The garbage collector works harder before the limiter has to refuse.
        env=workload.go_env(settings),
        files={_CONFIG: config.metadata.name},
        secret_files=secret_files,
        configuration=collector_files(text),
        data=pipeline.QUEUE_DIRECTORY,
        init=(_queue_guard(), *init),
        readiness=workload.http_probe("/", endpoints.COLLECTOR_HEALTH_PORT, period=2),
        liveness=workload.http_probe("/", endpoints.COLLECTOR_HEALTH_PORT),
        grace_seconds=60,
    )


def _autoscaler(
    pod: workload.Pod,
    namespace: pulumi.Input[str],
    fewest: int,
    settings: Autoscaling,
    opts: pulumi.ResourceOptions,
) -> k8s.autoscaling.v2.HorizontalPodAutoscaler:
    autoscaling = k8s.autoscaling.v2
    return autoscaling.HorizontalPodAutoscaler(
        pod.name,
        metadata=object_meta(pod.name, namespace, component=pod.component),
        spec=autoscaling.HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=autoscaling.CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind="StatefulSet", name=pod.name
            ),
            min_replicas=fewest,
            max_replicas=settings.max_replicas,
            metrics=[
                autoscaling.MetricSpecArgs(
                    type="Resource",
                    resource=autoscaling.ResourceMetricSourceArgs(
                        name="cpu",
                        target=autoscaling.MetricTargetArgs(
                            type="Utilization", average_utilization=settings.cpu_percent
                        ),
                    ),
                )
            ],
            behavior=autoscaling.HorizontalPodAutoscalerBehaviorArgs(
                # The spans in the queue of a pod that is taken away would wait on its volume until it comes back.
                scale_down=autoscaling.HPAScalingRulesArgs(select_policy="Disabled")
            ),
        ),
        opts=opts,
    )
