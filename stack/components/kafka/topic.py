"""Creates topics before the pods that read them start."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import versions
from contracts.section import quantity_bytes
from stack.components.kafka.access import KafkaAccess
from stack.components.kafka.settings import Kafka
from stack.components.shared.pod import container_security

core = k8s.core.v1

CLASS_PATH = "/opt/kafka/libs/*"
"""Java's class path in Kafka's image."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic and its limits."""

    name: str
    partitions: int
    retention_bytes: int
    """Most bytes of each partition; Kafka then deletes the oldest messages, even if they were not read."""
    retention_hours: int
    max_message_bytes: int
    """Largest message, compressed."""

    @classmethod
    def with_part_of_disk(cls, name: str, kafka: Kafka, divisor: int, *, max_message_bytes: int) -> "Topic":
        """Return a topic that keeps messages for a day, and uses at most Kafka's disk divided by `divisor`."""
        return cls(
            name=name,
            partitions=kafka.partitions,
            retention_bytes=quantity_bytes(kafka.volume) // divisor // kafka.partitions,
            retention_hours=24,
            max_message_bytes=max_message_bytes,
        )


_CLIENT: Final = "/tmp/client.properties"
_WITH_PROPERTIES: Final = f'printf %s "$CLIENT_PROPERTIES" >{_CLIENT} && exec "$@" --command-config {_CLIENT}'
"""Shell command: runs its arguments with a configuration file, whose content is a variable."""


def topic_container(topic: Topic, brokers: KafkaAccess, client: str, secret: pulumi.Input[str]) -> core.ContainerArgs:
    """Return an init container that waits for Kafka and creates a topic if it does not exist.

    Args:
        topic: to create.
        brokers: of Kafka.
        client: the workload, as which it authenticates.
        secret: name of the Secret with the password.
    """
    properties = brokers.client_properties(client)
    config = {
        "retention.bytes": topic.retention_bytes,
        "retention.ms": topic.retention_hours * 3_600_000,
        "max.message.bytes": topic.max_message_bytes,
        # Kafka deletes whole segments. With the default of 1 GiB, partitions outgrow their share of a small disk.
        "segment.bytes": min(2**30, max(topic.retention_bytes // 4, 2 * topic.max_message_bytes)),
    }
    return core.ContainerArgs(
        name="topic",
        image=versions.KAFKA,
        command=[
            *(["sh", "-c", _WITH_PROPERTIES, "sh"] if properties is not None else []),
            "java",
            "-Xmx64m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            CLASS_PATH,
            "org.apache.kafka.tools.TopicCommand",
        ],
        args=[
            "--bootstrap-server",
            brokers.bootstrap_servers,
            "--create",
            "--if-not-exists",
            "--topic",
            topic.name,
            "--partitions",
            str(topic.partitions),
            *(part for key, value in config.items() for part in ("--config", f"{key}={value}")),
        ],
        env=[core.EnvVarArgs(name="CLIENT_PROPERTIES", value=properties), *brokers.password(client, secret)]
        if properties is not None
        else None,
        resources=core.ResourceRequirementsArgs(
            requests={"cpu": "100m", "memory": "192Mi"}, limits={"memory": "192Mi"}
        ),
        security_context=container_security(),
        volume_mounts=[core.VolumeMountArgs(name="tmp", mount_path="/tmp")],
    )
