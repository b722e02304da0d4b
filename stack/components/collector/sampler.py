"""The samplers: Collectors that read whole traces from Kafka and decide which of them are stored."""

from dataclasses import dataclass

import pulumi

from collector import pipeline
from contracts import endpoints
from contracts.section import quantity_bytes
from stack.components.collector.component import collector_files, queueing_pod
from stack.components.collector.settings import Sampling
from stack.components.kafka.component import topic_container
from stack.components.kafka.settings import Kafka
from stack.components.shared import workload


@dataclass(frozen=True, kw_only=True)
class SamplerArgs:
    namespace: pulumi.Input[str]
    settings: Sampling
    kafka: Kafka
    storage_class: str | None
    trace_store: pulumi.Input[str]
    bootstrap_servers: pulumi.Input[str]


class Sampler(pulumi.ComponentResource):
    """A consumer group: each sampler reads some of the topic's partitions, and all spans of a trace are in one.

    What a killed sampler had not decided on is lost, at most `decisionWaitSeconds` of spans: it has taken them from
    the topic, and holds them in memory. One that is stopped in order decides on what it has.
    """

    topic: pulumi.Output[str]
    """Name of the topic that the spans come from."""

    def __init__(self, name: str, args: SamplerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Sampler", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        text = pulumi.Output.all(trace_store=args.trace_store, brokers=args.bootstrap_servers).apply(
            lambda to: pipeline.render_sampler(
                pipeline.Sampler(
                    trace_store=to["trace_store"],
                    brokers=to["brokers"],
                    queue_size=settings.queue_size,
                    ratio=settings.ratio,
                    errors="errors" in settings.policies,
                    slow_ms=settings.slow_ms if "slow" in settings.policies else None,
                    decision_wait_seconds=settings.decision_wait_seconds,
                    traces=settings.waiting_traces,
                )
            )
        )
        config = workload.config_map("sampler-config", "collector", args.namespace, collector_files(text), child)
        topic = topic_container(
            pipeline.TOPIC,
            bootstrap_servers=args.bootstrap_servers,
            partitions=args.kafka.partitions,
            # Half of Kafka's disk, so that samplers that are away for long do not stop the tasks.
            retention_bytes=quantity_bytes(args.kafka.volume) // 2 // args.kafka.partitions,
            retention_hours=24,
            max_message_bytes=pipeline.MAX_MESSAGE_BYTES,
        )
        pod = queueing_pod(
            endpoints.SAMPLER,
            settings,
            config,
            text,
            ports={"span-metrics": endpoints.COLLECTOR_SPAN_METRICS_PORT},
            init=(topic,),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(
            pod, args.namespace, settings.queue_volume, args.storage_class, child, replicas=settings.replicas
        )
        self.topic = pulumi.Output.from_input(pipeline.TOPIC)
        self.register_outputs({"topic": self.topic})
