"""Apache Kafka: KRaft nodes, each of them broker and controller in one process, on its own volume."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, versions
from contracts.section import quantity_bytes
from stack.components.encryption.issuers import Issuers
from stack.components.encryption.server import COMBINED_FILE, ServerCertificate, ServerCertificateArgs, Subject
from stack.components.encryption.settings import STEPS, EncryptionValue, setting_text
from stack.components.kafka.config import (
    AUTHORITY_FILE,
    CERTIFICATE,
    CLIENT_CERTIFICATE,
    CLIENT_KEYSTORE,
    CONFIG,
    DATA,
    IN_PODS,
    LOGGING,
    BrokerSecurity,
    bootstrap_servers,
    certificate_hosts,
    command_properties,
    pod_names,
    server_properties,
)
from stack.components.kafka.settings import Kafka as KafkaSettings
from stack.components.kafka.topic import CLASS_PATH
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import field_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod, container_security, resources
from stack.components.shared.probes import Probes, exec_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import SecretFiles, Storage, volume_name
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 1000
_POD_CONFIG: Final = f"{CONFIG}/$(POD_NAME).properties"
"""Configuration of the broker in a pod; the kubelet inserts the pod's name."""
IN_SYNC: Final = Path(__file__).with_name("is_in_sync.sh")
"""Program that says whether another broker may be stopped."""
REPLICATE: Final = Path(__file__).with_name("replicate.sh")
"""Program that a person runs when there are more brokers than before."""
FINISH_UPGRADE: Final = Path(__file__).with_name("finish_upgrade.sh")
"""Program that a person runs when all brokers have a new version."""
ENCRYPTION: Final = "ENCRYPTION"
"""Variable of the pods with the value of `encryption.kafka`, which the next deployment reads; none with `false`."""
_COMMAND_CONFIG: Final = "command.properties"
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
    encryption: EncryptionValue = False
    """Without it, everyone may do everything."""
    issuers: Issuers | None = None
    """Of the brokers' certificates; needed with `encryption`."""


class Kafka(pulumi.ComponentResource):
    """Kafka's brokers. The programs that own the topics create them."""

    bootstrap_servers: pulumi.Output[str]
    certificate: pulumi.Output[str]
    """Name of the Secret with the certificate by which brokers know each other; empty without TLS."""

    def __init__(self, name: str, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Kafka", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        certificate, for_clients = self._certificate(args), self._client_certificate(args)
        security = (
            replace(IN_PODS, step=STEPS[args.encryption], for_clients=CLIENT_KEYSTORE if for_clients else None)
            if args.encryption
            else None
        )
        files = _files(settings, security, certificate.authority if certificate else None)
        config = config_map("kafka-config", "queue", args.namespace, files, child)
        pod = Pod(
            name=endpoints.KAFKA,
            component="queue",
            user=_UID,
            container=Container(
                image=versions.KAFKA,
                size=settings,
                ports=_ports(security),
                command=_command(settings),
                env=[
                    field_variable("POD_NAME", "metadata.name"),
                    *(variables(**{ENCRYPTION: setting_text(args.encryption)}) if args.encryption else []),
                    # For the three programs.
                    *variables(
                        **_own_access(encrypted=STEPS[args.encryption].speaks_tls),
                        BROKERS=settings.brokers,
                        IN_SYNC_REPLICAS=settings.in_sync_replicas,
                        LIBRARIES=CLASS_PATH,
                        RELEASE=RELEASE,
                    ),
                ],
            ),
            init=[_format_container(settings)],
            storage=Storage(
                config_maps={CONFIG: config.metadata.name},
                configuration=files,
                secrets={
                    **_certificate_files(CERTIFICATE, certificate),
                    **_certificate_files(CLIENT_CERTIFICATE, for_clients),
                },
                data=DATA,
            ),
            probes=_probes(settings, security),
            shutdown=Shutdown(grace_seconds=60),
        )
        services(pod, args.namespace, child)
        volume = Volume(size=settings.volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=settings.brokers)
        port = endpoints.KAFKA_TLS_PORT if STEPS[args.encryption].speaks_tls else endpoints.KAFKA_PORT
        self.bootstrap_servers = pulumi.Output.from_input(bootstrap_servers(settings.brokers, port))
        self.certificate = certificate.secret if certificate else pulumi.Output.from_input("")
        self.register_outputs(
            {
                "bootstrap_servers": self.bootstrap_servers,
                "certificate": self.certificate,
            }
        )

    def _certificate(self, args: KafkaArgs) -> ServerCertificate | None:
        if not args.encryption:
            return None
        assert args.issuers
        subject = Subject(
            namespace=args.namespace,
            server=endpoints.KAFKA,
            component="queue",
            hosts=certificate_hosts(args.settings.brokers),
            is_client=True,  # of the other brokers
        )
        certificate_args = ServerCertificateArgs(subject=subject, issuer=args.issuers.callers)
        return ServerCertificate("kafka-certificate", certificate_args, pulumi.ResourceOptions(parent=self))

    def _client_certificate(self, args: KafkaArgs) -> ServerCertificate | None:
        """Create the certificate that clients see, if another authority than that of the brokers signs it."""
        if args.issuers is None or args.issuers.is_one:
            return None
        subject = Subject(
            namespace=args.namespace,
            server=endpoints.KAFKA,
            component="queue",
            hosts=certificate_hosts(args.settings.brokers),
        )
        certificate_args = ServerCertificateArgs(subject=subject, issuer=args.issuers.servers)
        return ServerCertificate("kafka-client-certificate", certificate_args, pulumi.ResourceOptions(parent=self))


def _certificate_files(folder: str, certificate: ServerCertificate | None) -> dict[str, SecretFiles]:
    if certificate is None:
        return {}
    return {folder: SecretFiles(secret=certificate.secret, keys={COMBINED_FILE: COMBINED_FILE})}


def _ports(security: BrokerSecurity | None) -> dict[str, int]:
    """Return the ports that other pods connect to; `kafka-users` asks each one with TLS for its certificate."""
    plain = {"kafka": endpoints.KAFKA_PORT} if security is None or security.step.takes_plain else {}
    if security is None:
        return plain
    return {
        **plain,
        "kafka-tls": endpoints.KAFKA_TLS_PORT,
        "brokers-tls": endpoints.KAFKA_BROKER_TLS_PORT,
        "proxied": endpoints.KAFKA_PROXIED_PORT,
        "controllers-tls": endpoints.KAFKA_CONTROLLER_TLS_PORT,
    }


def _own_access(*, encrypted: bool) -> dict[str, str]:
    """Return the variables with which the programs in a broker's pod reach it."""
    if not encrypted:
        return {"BOOTSTRAP_SERVERS": f"localhost:{endpoints.KAFKA_PORT}"}
    return {
        "BOOTSTRAP_SERVERS": f"localhost:{endpoints.KAFKA_BROKER_TLS_PORT}",
        "COMMAND_CONFIG": f"{CONFIG}/{_COMMAND_CONFIG}",
    }


def _files(
    settings: KafkaSettings, security: BrokerSecurity | None, authority: pulumi.Output[str] | None
) -> dict[str, pulumi.Input[str]]:
    """Return the files of the ConfigMap: the configuration of each broker, of the log, and the three programs."""
    names = pod_names(settings.brokers)
    secure: dict[str, pulumi.Input[str]] = (
        {_COMMAND_CONFIG: command_properties(IN_PODS), AUTHORITY_FILE: authority} if authority is not None else {}
    )
    return {
        **{f"{pod}.properties": server_properties(n, settings, security) for n, pod in enumerate(names)},
        **secure,
        "log4j2.properties": LOGGING,
        **{program.name: program.read_text() for program in (IN_SYNC, REPLICATE, FINISH_UPGRADE)},
    }


def _probes(settings: KafkaSettings, security: BrokerSecurity | None) -> Probes:
    """Return the probes. Of several brokers, one that was restarted is ready when all replicas are in sync.

    So a rolling update restarts the next broker only when no partition misses a replica. Once it is ready, a broker
    stays ready while others are unavailable.
    """
    port = endpoints.KAFKA_BROKER_TLS_PORT if security else endpoints.KAFKA_PORT
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
