"""The samplers: Collectors that read the spans from Kafka, and decide on whole traces which ones are stored."""

from dataclasses import dataclass
from typing import Final

import pulumi

from collector import pipeline
from contracts import endpoints
from stack.components.collector.pod import CollectorConfig, queueing_pod
from stack.components.collector.settings import Sampling
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.config import LOOPBACK
from stack.components.encryption.proxy.pod import ProxyOptions, protect
from stack.components.kafka.access import KafkaAccess
from stack.components.kafka.settings import Kafka
from stack.components.kafka.topic import Topic, topic_container
from stack.components.shared.environment import go_memory_limit
from stack.components.shared.service import services
from stack.components.shared.store import StoreAddresses
from stack.components.shared.workload import Volume, stateful_set

_PART_OF_DISK: Final = 2
"""The topic of spans may use Kafka's disk divided by this: samplers that are unavailable for long do not stop the
tasks."""


@dataclass(frozen=True, kw_only=True)
class SamplerArgs:
    namespace: pulumi.Input[str]
    settings: Sampling
    kafka: Kafka
    storage_class: str | None
    trace_store: StoreAddresses
    secret: pulumi.Input[str]
    """Name of the Secret with the credentials of stores."""
    brokers: KafkaAccess
    scrape_seconds: int
    """Time between two scrapes of the metrics of stored spans, in s."""
    protection: Protection | None = None


class Sampler(pulumi.ComponentResource):
    """A consumer group: each sampler reads some of the topic's partitions, and all spans of a trace are in one.

    A sampler holds the spans that wait for their decision in memory. If it is killed, they are lost: at most
    `decisionWaitSeconds` of spans, until the group's offsets are reset (`collector/README.md`). If it is stopped in
    order, it decides on what it has.
    """

    topic: pulumi.Output[str]
    """Name of the topic that the spans come from."""

    def __init__(self, name: str, args: SamplerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Sampler", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        topic = Topic.with_part_of_disk(
            pipeline.TOPIC, args.kafka, _PART_OF_DISK, max_message_bytes=pipeline.MAX_MESSAGE_BYTES
        )
        pod = queueing_pod(
            endpoints.SAMPLER,
            settings,
            CollectorConfig("sampler-config", _configuration(args), args.namespace, child),
            ports={"span-metrics": endpoints.COLLECTOR_SPAN_METRICS_PORT},
            env=[
                *go_memory_limit(settings),  # its traces are in use for long: a larger heap would collect no less
                *args.trace_store.otlp_variables(args.secret),
                *args.brokers.password(endpoints.SAMPLER, args.secret),
            ],
            init=(topic_container(topic, args.brokers, endpoints.SAMPLER, args.secret),),
            address=LOOPBACK if args.protection else None,
        )
        guard = {"queue-guard": endpoints.QUEUE_GUARD_PORT}
        pod = protect(pod, args.protection, child, ProxyOptions(plain=("health",), further=guard))
        services(pod, args.namespace, child)
        volume = Volume(size=settings.queue_volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=settings.replicas)
        self.topic = pulumi.Output.from_input(pipeline.TOPIC)
        self.register_outputs({"topic": self.topic})


def _configuration(args: SamplerArgs) -> pulumi.Output[str]:
    settings = args.settings
    kafka = args.brokers.collector_target(endpoints.SAMPLER)
    return pulumi.Output.all(trace_store=args.trace_store.otlp, kafka=kafka).apply(
        lambda addresses: pipeline.render_sampler(
            pipeline.Sampler(
                trace_store=addresses["trace_store"],
                kafka=addresses["kafka"],
                queue_size=settings.queue_size,
                ratio=settings.ratio,
                errors="errors" in settings.policies,
                slow_ms=settings.slow_ms if "slow" in settings.policies else None,
                decision_wait_seconds=settings.decision_wait_seconds,
                traces=settings.waiting_traces,
                metrics_flush_interval=f"{args.scrape_seconds}s",
                encrypted=args.protection is not None,
            )
        )
    )
