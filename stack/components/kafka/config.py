"""Kafka's configuration: KRaft nodes that each are broker and controller."""

from dataclasses import dataclass
from typing import Final

from contracts import endpoints
from stack.components.encryption.server import COMBINED_FILE
from stack.components.kafka.settings import Kafka

MECHANISM: Final = "SCRAM-SHA-512"
"""How clients authenticate at brokers with TLS."""
SESSION_SECONDS: Final = 6
"""When one of several brokers is not heard of for so long, the others take its partitions, and no longer wait for its
acknowledgements. Kafka's default is 9; a broker reports every 2 seconds."""
_CONTROLLER_SECONDS: Final = 4
"""A broker asks the next controller when one does not answer for so long. With Kafka's default of 30, producers that
start after a controller was cut off wait for their id for so long (seen in `make ha`)."""
DATA: Final = "/var/lib/kafka"
"""Mount path of the volume."""
CERTIFICATE: Final = "/etc/kafka-certificate"
"""Folder of the brokers' certificate, in their pods."""
KEYSTORE: Final = f"{CERTIFICATE}/{COMBINED_FILE}"
CONFIG: Final = "/etc/kafka-config"
"""Folder of the configuration and of the programs, in a pod."""
AUTHORITY_FILE: Final = "ca.crt"

LOGGING: Final = """\
status = warn
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = stdout
"""
"""Configuration of its log."""


@dataclass(frozen=True, kw_only=True)
class BrokerSecurity:
    """The files with which brokers use TLS."""

    key_and_certificate: str
    """Path of the broker's private key and its certificate, as PEM."""
    authority: str
    """Path of the certificate of the authority, as PEM."""


IN_PODS: Final = BrokerSecurity(key_and_certificate=KEYSTORE, authority=f"{CONFIG}/{AUTHORITY_FILE}")
"""Where the pods have them."""


def pod_names(brokers: int) -> list[str]:
    """Return the names of the brokers' pods, in the order of their ordinals."""
    return [f"{endpoints.KAFKA}-{ordinal}" for ordinal in range(brokers)]


def bootstrap_servers(brokers: int) -> str:
    """Return host:port at which clients ask for the brokers.

    The headless Service has the addresses of all brokers, also of those that are not ready: clients connect although
    every broker waits for a replica that is unavailable. The address of the other Service stays while the pod of the
    one broker is replaced.
    """
    host = endpoints.KAFKA if brokers == 1 else endpoints.pods(endpoints.KAFKA)
    return f"{host}:{endpoints.KAFKA_PORT}"


def brokers_address(brokers: int) -> str:
    """Return host:port at which brokers with TLS take connections of brokers."""
    return bootstrap_servers(brokers).replace(f":{endpoints.KAFKA_PORT}", f":{endpoints.KAFKA_BROKER_PORT}")


def certificate_hosts(brokers: int) -> list[str]:
    """Return the names by which clients, brokers and the programs in a broker's pod reach brokers."""
    hosts = [_host(ordinal) for ordinal in range(brokers)]
    return [endpoints.KAFKA, endpoints.pods(endpoints.KAFKA), *hosts, "localhost", "127.0.0.1"]


def command_properties(security: BrokerSecurity) -> str:
    """Return the configuration with which Kafka's programs in a broker's pod are the broker itself."""
    return "".join(f"{line}\n" for line in ["security.protocol=SSL", *tls_properties(security)])


def server_properties(ordinal: int, settings: Kafka, security: BrokerSecurity | None = None) -> str:
    """Return the configuration of a broker that is a controller, too. Each topic has a replica on each broker.

    Args:
        ordinal: of the broker's pod.
        settings: of all brokers.
        security: the files of TLS; None: all connections are in clear, and everyone may do everything.
    """
    brokers, in_sync = settings.brokers, settings.in_sync_replicas
    host = endpoints.KAFKA if brokers == 1 else _host(ordinal)
    # No other broker could take the partitions of the only one.
    failover = [
        f"broker.session.timeout.ms={1000 * SESSION_SECONDS}",
        f"controller.socket.timeout.ms={1000 * _CONTROLLER_SECONDS}",
    ]
    return "\n".join(
        [
            "process.roles=broker,controller",
            f"node.id={_node_id(ordinal)}",
            f"controller.quorum.voters={_voters(brokers)}",
            *(_secure_listeners(host, security) if security else _plain_listeners(host)),
            "inter.broker.listener.name=BROKER",
            "controller.listener.names=CONTROLLER",
            *(failover if brokers > 1 else ()),
            f"log.dirs={DATA}/log",
            f"num.partitions={settings.partitions}",
            # A misspelt topic must be an error, not a new topic.
            "auto.create.topics.enable=false",
            # For topics whose creator names no number, as all creators in the stack.
            f"default.replication.factor={brokers}",
            # A message with acks=all is acknowledged when so many brokers have it, and refused if fewer can.
            f"min.insync.replicas={in_sync}",
            f"offsets.topic.replication.factor={brokers}",
            "offsets.topic.num.partitions=8",
            f"transaction.state.log.replication.factor={brokers}",
            f"transaction.state.log.min.isr={in_sync}",
            "group.initial.rebalance.delay.ms=0",
            # The services commit each message before they handle it, which takes 1.9 ms. With the default, which waits
            # 5 ms for commits of other clients, it takes 8.9 ms.
            "group.coordinator.append.linger.ms=0",
            "",
        ]
    )


def _plain_listeners(host: str) -> list[str]:
    return [
        f"listeners=BROKER://:{endpoints.KAFKA_PORT},CONTROLLER://:{endpoints.KAFKA_CONTROLLER_PORT}",
        f"advertised.listeners=BROKER://{host}:{endpoints.KAFKA_PORT}",
        "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ]


def _secure_listeners(host: str, security: BrokerSecurity) -> list[str]:
    """Return the listeners with TLS: clients prove who they are with a password, brokers with their certificate."""
    clients, brokers = endpoints.KAFKA_PORT, endpoints.KAFKA_BROKER_PORT
    return [
        f"listeners=BROKER://:{brokers},CLIENT://:{clients},CONTROLLER://:{endpoints.KAFKA_CONTROLLER_PORT}",
        f"advertised.listeners=BROKER://{host}:{brokers},CLIENT://{host}:{clients}",
        "listener.security.protocol.map=BROKER:SSL,CLIENT:SASL_SSL,CONTROLLER:SSL",
        *tls_properties(security),
        "listener.name.broker.ssl.client.auth=required",
        "listener.name.controller.ssl.client.auth=required",
        f"listener.name.client.sasl.enabled.mechanisms={MECHANISM}",
        f"listener.name.client.{MECHANISM.lower()}.sasl.jaas.config="
        "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        # The name of a certificate is its user.
        "ssl.principal.mapping.rules=RULE:^CN=([^,]+)$/$1/",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        f"super.users=User:{endpoints.KAFKA};User:{endpoints.KAFKA_USERS}",
    ]


def tls_properties(security: BrokerSecurity) -> list[str]:
    """Return the properties with which a broker, or a program in its pod, uses the broker's certificate."""
    return [
        "ssl.enabled.protocols=TLSv1.3",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={security.key_and_certificate}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={security.authority}",
    ]


def _node_id(ordinal: int) -> int:
    return ordinal + 1


def _host(ordinal: int) -> str:
    return f"{endpoints.KAFKA}-{ordinal}.{endpoints.pods(endpoints.KAFKA)}"


def _voters(brokers: int) -> str:
    """Return the controllers. One alone asks no DNS for itself, which at its start would not know its address yet."""
    hosts = ["127.0.0.1"] if brokers == 1 else [_host(ordinal) for ordinal in range(brokers)]
    return ",".join(
        f"{_node_id(ordinal)}@{host}:{endpoints.KAFKA_CONTROLLER_PORT}" for ordinal, host in enumerate(hosts)
    )
