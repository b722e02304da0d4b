"""Apache Kafka: one KRaft node, broker and controller in one process, on its own volume."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, versions
from contracts.section import quantity_bytes
from stack.components.kafka.config import DATA, LOGGING, server_properties
from stack.components.kafka.settings import Kafka as KafkaSettings
from stack.components.kafka.topic import CLASS_PATH
from stack.components.shared.availability import Shutdown
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod, container_security, resources
from stack.components.shared.probes import Probes, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage, volume_name
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 1000
_CONFIG: Final = "/etc/kafka-config"
_CLUSTER_ID: Final = "d2ViLWNyYXdsLXRyYWNpbg"
"""Identity of the cluster on disk. A constant: a volume always belongs to the one Kafka of its namespace."""


@dataclass(frozen=True, kw_only=True)
class KafkaArgs:
    namespace: pulumi.Input[str]
    settings: KafkaSettings
    storage_class: str | None


class Kafka(pulumi.ComponentResource):
    """A single Kafka broker. The programs that own the topics create them."""

    bootstrap_servers: pulumi.Output[str]

    def __init__(self, name: str, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Kafka", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {"server.properties": server_properties(args.settings.partitions), "log4j2.properties": LOGGING}
        config = config_map("kafka-config", "queue", args.namespace, files, child)
        pod = Pod(
            name=endpoints.KAFKA,
            component="queue",
            user=_UID,
            container=Container(
                image=versions.KAFKA,
                size=args.settings,
                ports={"kafka": endpoints.KAFKA_PORT},
                command=_command(args.settings),
            ),
            init=[_format_container(args.settings)],
            storage=Storage(config_maps={_CONFIG: config.metadata.name}, configuration=files, data=DATA),
            probes=Probes(
                readiness=tcp_probe(endpoints.KAFKA_PORT), liveness=tcp_probe(endpoints.KAFKA_PORT, failures=6)
            ),
            shutdown=Shutdown(grace_seconds=60),
        )
        services(pod, args.namespace, child)
        stateful_set(pod, args.namespace, Volume(size=args.settings.volume, storage_class=args.storage_class), child)
        self.bootstrap_servers = pulumi.Output.from_input(f"{endpoints.KAFKA}:{endpoints.KAFKA_PORT}")
        self.register_outputs({"bootstrap_servers": self.bootstrap_servers})


def _command(settings: KafkaSettings) -> list[str]:
    # Half of the memory is heap. The JVM itself needs the rest, and the page cache that Kafka relies on.
    heap = quantity_bytes(settings.memory) // 2 // 2**20
    return [
        "java",
        f"-Xms{heap}m",
        f"-Xmx{heap}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={_CONFIG}/log4j2.properties",
        "-cp",
        CLASS_PATH,
        "kafka.Kafka",
        f"{_CONFIG}/server.properties",
    ]


def _format_container(settings: KafkaSettings) -> k8s.core.v1.ContainerArgs:
    """Return the init container that formats the storage; with --ignore-formatted, later starts change nothing."""
    return k8s.core.v1.ContainerArgs(
        name="format",
        image=versions.KAFKA,
        command=[
            "java",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            CLASS_PATH,
            "kafka.tools.StorageTool",
        ],
        args=["format", "--ignore-formatted", "-t", _CLUSTER_ID, "-c", f"{_CONFIG}/server.properties"],
        resources=resources(settings),
        security_context=container_security(),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path=DATA),
            k8s.core.v1.VolumeMountArgs(name=volume_name(_CONFIG), mount_path=_CONFIG, read_only=True),
            k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
        ],
    )
