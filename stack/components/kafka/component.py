"""Apache Kafka: KRaft nodes, each of them broker and controller in one process, on its own volume."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, versions
from contracts.section import quantity_bytes
from stack.components.kafka.config import DATA, LOGGING, bootstrap_servers, pod_names, server_properties
from stack.components.kafka.settings import Kafka as KafkaSettings
from stack.components.kafka.topic import CLASS_PATH
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import field_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod, container_security, resources
from stack.components.shared.probes import Probes, exec_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage, volume_name
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 1000
CONFIG: Final = "/etc/kafka-config"
"""Folder of the configuration and of the programs, in a pod."""
_POD_CONFIG: Final = f"{CONFIG}/$(POD_NAME).properties"
"""Configuration of the broker in a pod; the kubelet inserts the pod's name."""
IN_SYNC: Final = Path(__file__).with_name("is_in_sync.sh")
"""Program that says whether another broker may be stopped."""
REPLICATE: Final = Path(__file__).with_name("replicate.sh")
"""Program that a person runs when there are more brokers than before."""
FINISH_UPGRADE: Final = Path(__file__).with_name("finish_upgrade.sh")
"""Program that a person runs when all brokers have a new version."""
_CATCH_UP_SECONDS: Final = 86_400
"""Time in which a broker that was stopped copies what it missed; it serves clients meanwhile."""
RELEASE: Final = ".".join(versions.KAFKA.rpartition(":")[2].split(".")[:2])
"""Major and minor version of the brokers, by which Kafka names what they can do."""
CLUSTER_ID: Final = "d2ViLWNyYXdsLXRyYWNpbg"
"""Identity of the cluster on disk. A constant: a volume always belongs to the one Kafka of its namespace."""


@dataclass(frozen=True, kw_only=True)
class KafkaArgs:
    namespace: pulumi.Input[str]
    settings: KafkaSettings
    storage_class: str | None


class Kafka(pulumi.ComponentResource):
    """Kafka's brokers. The programs that own the topics create them."""

    bootstrap_servers: pulumi.Output[str]

    def __init__(self, name: str, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Kafka", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        files = _files(settings)
        config = config_map("kafka-config", "queue", args.namespace, files, child)
        pod = Pod(
            name=endpoints.KAFKA,
            component="queue",
            user=_UID,
            container=Container(
                image=versions.KAFKA,
                size=settings,
                ports={"kafka": endpoints.KAFKA_PORT},
                command=_command(settings),
                env=[
                    field_variable("POD_NAME", "metadata.name"),
                    # For the three programs.
                    *variables(
                        BOOTSTRAP_SERVERS=f"localhost:{endpoints.KAFKA_PORT}",
                        BROKERS=settings.brokers,
                        IN_SYNC_REPLICAS=settings.in_sync_replicas,
                        LIBRARIES=CLASS_PATH,
                        RELEASE=RELEASE,
                    ),
                ],
            ),
            init=[_format_container(settings)],
            storage=Storage(config_maps={CONFIG: config.metadata.name}, configuration=files, data=DATA),
            probes=_probes(settings),
            shutdown=Shutdown(grace_seconds=60),
        )
        services(pod, args.namespace, child)
        volume = Volume(size=settings.volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=settings.brokers)
        self.bootstrap_servers = pulumi.Output.from_input(bootstrap_servers(settings.brokers))
        self.register_outputs({"bootstrap_servers": self.bootstrap_servers})


def _files(settings: KafkaSettings) -> dict[str, str]:
    """Return the files of the ConfigMap: the configuration of each broker, of the log, and the three programs."""
    return {
        **{f"{pod}.properties": server_properties(n, settings) for n, pod in enumerate(pod_names(settings.brokers))},
        "log4j2.properties": LOGGING,
        **{program.name: program.read_text() for program in (IN_SYNC, REPLICATE, FINISH_UPGRADE)},
    }


def _probes(settings: KafkaSettings) -> Probes:
    """Return the probes. Of several brokers, one that was restarted is ready when all replicas are in sync.

    So a rolling update restarts the next broker only when no partition misses a replica. Once it is ready, a broker
    stays ready while others are unavailable.
    """
    port = endpoints.KAFKA_PORT
    period = 5
    in_sync = exec_probe(
        ["sh", f"{CONFIG}/{IN_SYNC.name}"],
        period=period,
        failures=_CATCH_UP_SECONDS // period,
        timeout=20,  # it starts a JVM, on a node that may be busy
    )
    return Probes(
        readiness=tcp_probe(port),
        liveness=tcp_probe(port, failures=6),
        own_startup=in_sync if settings.brokers > 1 else None,
    )


def _command(settings: KafkaSettings) -> list[str]:
    # Half of the memory is heap. The JVM itself needs the rest, and the page cache that Kafka relies on.
    heap = quantity_bytes(settings.memory) // 2 // 2**20
    return [
        "java",
        f"-Xms{heap}m",
        f"-Xmx{heap}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={CONFIG}/log4j2.properties",
        "-cp",
        CLASS_PATH,
        "kafka.Kafka",
        _POD_CONFIG,
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
        env=[field_variable("POD_NAME", "metadata.name")],
        args=["format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", _POD_CONFIG],
        resources=resources(settings),
        security_context=container_security(),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(name="data", mount_path=DATA),
            k8s.core.v1.VolumeMountArgs(name=volume_name(CONFIG), mount_path=CONFIG, read_only=True),
            k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp"),
        ],
    )
