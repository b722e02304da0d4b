"""The OpenTelemetry Collector: takes the services' spans, counts them, queues them on disk, hands them to the store."""

from dataclasses import dataclass
from typing import Final

import pulumi

from collector import pipeline
from stack import endpoints, versions, workload
from stack.settings import Collector as CollectorSettings
from stack.settings import quantity_bytes

_UID: Final = 10001
_CONFIG: Final = "/etc/otelcol"


@dataclass(frozen=True, kw_only=True)
class CollectorArgs:
    namespace: pulumi.Input[str]
    settings: CollectorSettings
    storage_class: str | None
    trace_store: pulumi.Input[str]


class Collector(pulumi.ComponentResource):
    """Collectors that each own a queue on disk."""

    otlp_endpoint: pulumi.Output[str]
    """URL that takes OTLP over gRPC."""

    def __init__(self, name: str, args: CollectorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Collector", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        text = pulumi.Output.from_input(args.trace_store).apply(
            lambda store: pipeline.render(pipeline.Pipeline(trace_store=store, queue_size=args.settings.queue_size))
        )
        config = workload.config_map("collector-config", "collector", args.namespace, {"config.yaml": text}, child)
        pod = workload.Pod(
            name=endpoints.COLLECTOR,
            component="collector",
            image=versions.COLLECTOR,
            user=_UID,
            size=args.settings,
            ports={
                "otlp-grpc": endpoints.OTLP_GRPC_PORT,
                "otlp-http": endpoints.OTLP_HTTP_PORT,
                "telemetry": endpoints.COLLECTOR_TELEMETRY_PORT,
                "span-metrics": endpoints.COLLECTOR_SPAN_METRICS_PORT,
                "health": endpoints.COLLECTOR_HEALTH_PORT,
            },
            args=[f"--config={_CONFIG}/config.yaml"],
            # The garbage collector works harder before the limiter has to refuse.
            env=workload.env(GOMEMLIMIT=f"{quantity_bytes(args.settings.memory) * 8 // 10 // 2**20}MiB"),
            files={_CONFIG: config.metadata.name},
            configuration=text,
            data=pipeline.QUEUE_DIRECTORY,
            readiness=workload.http_probe("/", endpoints.COLLECTOR_HEALTH_PORT),
            liveness=workload.http_probe("/", endpoints.COLLECTOR_HEALTH_PORT),
            grace_seconds=60,
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(
            pod, args.namespace, args.settings.queue_volume, args.storage_class, child, replicas=args.settings.replicas
        )
        self.otlp_endpoint = pulumi.Output.from_input(endpoints.url(endpoints.COLLECTOR, endpoints.OTLP_GRPC_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint})
