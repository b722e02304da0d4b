"""Apache Kafka: one KRaft node, broker and controller in one process, on its own volume."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, versions
from contracts.section import quantity_bytes
from stack.components.kafka.settings import Kafka as KafkaSettings
from stack.components.shared import workload

_UID: Final = 1000
_CONFIG: Final = "/etc/kafka-config"
_DATA: Final = "/var/lib/kafka"
_LOG: Final = f"{_DATA}/log"
_CLASS_PATH: Final = "/opt/kafka/libs/*"
# Identity of the cluster on disk. A constant: a volume always belongs to the one Kafka of its namespace.
_CLUSTER_ID: Final = "d2ViLWNyYXdsLXRyYWNpbg"


def server_properties(partitions: int) -> str:
    """The broker's configuration. Topics keep one copy, since there is one broker."""
    return "\n".join(
        [
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{endpoints.KAFKA_CONTROLLER_PORT}",
            f"listeners=BROKER://:{endpoints.KAFKA_PORT},CONTROLLER://127.0.0.1:{endpoints.KAFKA_CONTROLLER_PORT}",
            f"advertised.listeners=BROKER://{endpoints.KAFKA}:{endpoints.KAFKA_PORT}",
            "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name=BROKER",
            "controller.listener.names=CONTROLLER",
            f"log.dirs={_LOG}",
            f"num.partitions={partitions}",
            # A name mistyped by a client must be an error, not a topic.
            "auto.create.topics.enable=false",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=8",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            # The services commit each message before they handle it: 1.9 ms. With the default, which gathers commits
            # of many clients for 5 ms, 8.9 ms.
            "group.coordinator.append.linger.ms=0",
            "",
        ]
    )


_LOGGING = """\
status = warn
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = stdout
"""


@dataclass(frozen=True, kw_only=True)
class KafkaArgs:
    namespace: pulumi.Input[str]
    settings: KafkaSettings
    storage_class: str | None


class Kafka(pulumi.ComponentResource):
    """A single Kafka broker; topics are made by the services that own them."""

    bootstrap_servers: pulumi.Output[str]

    def __init__(self, name: str, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Kafka", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {"server.properties": server_properties(args.settings.partitions), "log4j2.properties": _LOGGING}
        config = workload.config_map("kafka-config", "queue", args.namespace, files, child)
        # Half of the memory is heap; the rest is for the JVM itself and the page cache that Kafka lives on.
        heap = quantity_bytes(args.settings.memory) // 2 // 2**20
        pod = workload.Pod(
            name=endpoints.KAFKA,
            component="queue",
            image=versions.KAFKA,
            user=_UID,
            size=args.settings,
            ports={"kafka": endpoints.KAFKA_PORT},
            command=[
                "java",
                f"-Xms{heap}m",
                f"-Xmx{heap}m",
                "-XX:+ExitOnOutOfMemoryError",
                f"-Dlog4j2.configurationFile={_CONFIG}/log4j2.properties",
                "-cp",
                _CLASS_PATH,
                "kafka.Kafka",
                f"{_CONFIG}/server.properties",
            ],
            files={_CONFIG: config.metadata.name},
            configuration=files,
            data=_DATA,
            init=[self._format(args)],
            readiness=workload.tcp_probe(endpoints.KAFKA_PORT),
            liveness=workload.tcp_probe(endpoints.KAFKA_PORT, failures=6),
            grace_seconds=60,
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, args.settings.volume, args.storage_class, child)
        self.bootstrap_servers = pulumi.Output.from_input(f"{endpoints.KAFKA}:{endpoints.KAFKA_PORT}")
        self.register_outputs({"bootstrap_servers": self.bootstrap_servers})

    @staticmethod
    def _format(args: KafkaArgs) -> k8s.core.v1.ContainerArgs:
        """KRaft storage is formatted once, by a tool of its own; --ignore-formatted makes every later start a no-op."""
        return k8s.core.v1.ContainerArgs(
            name="format",
            image=versions.KAFKA,
            command=[
                "java",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                _CLASS_PATH,
                "kafka.tools.StorageTool",
            ],
            args=["format", "--ignore-formatted", "-t", _CLUSTER_ID, "-c", f"{_CONFIG}/server.properties"],
            resources=workload.resources(args.settings),
            security_context=workload.container_security(),
            volume_mounts=[
                k8s.core.v1.VolumeMountArgs(name="data", mount_path=_DATA),
                k8s.core.v1.VolumeMountArgs(name="etc-kafka-config", mount_path=_CONFIG, read_only=True),
                k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
            ],
        )


def topic_container(
    topic: str,
    *,
    bootstrap_servers: pulumi.Input[str],
    partitions: int,
    retention_bytes: int,
    retention_hours: int,
    max_message_bytes: int,
) -> k8s.core.v1.ContainerArgs:
    """Init container that makes a topic for the pod that reads it, unless it is there; waits for Kafka.

    Args:
        topic: its name.
        bootstrap_servers: host:port of Kafka.
        partitions: how many consumers can read side by side.
        retention_bytes: of each partition, at most; what is older goes, read or not.
        retention_hours: how long a message stays.
        max_message_bytes: of one message, compressed.
    """
    settings = {
        "retention.bytes": retention_bytes,
        "retention.ms": retention_hours * 3_600_000,
        "max.message.bytes": max_message_bytes,
        # Only whole segments are dropped. At the default of 1 GiB, partitions outgrow their share of a small disk.
        "segment.bytes": min(2**30, max(retention_bytes // 4, 2 * max_message_bytes)),
    }
    return k8s.core.v1.ContainerArgs(
        name="topic",
        image=versions.KAFKA,
        command=[
            "java",
            "-Xmx64m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            _CLASS_PATH,
            "org.apache.kafka.tools.TopicCommand",
        ],
        args=[
            "--bootstrap-server",
            bootstrap_servers,
            "--create",
            "--if-not-exists",
            "--topic",
            topic,
            "--partitions",
            str(partitions),
            *(part for key, value in settings.items() for part in ("--config", f"{key}={value}")),
        ],
        resources=k8s.core.v1.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "192Mi"}, limits={"memory": "192Mi"}
        ),
        security_context=workload.container_security(),
        volume_mounts=[k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")],
    )
