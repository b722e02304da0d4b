"""Kafka's configuration: KRaft nodes that each are broker and controller."""

from dataclasses import dataclass
from typing import Final

from contracts import endpoints
from stack.components.encryption.server import COMBINED_FILE
from stack.components.encryption.settings import STEPS, EncryptionStep
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
CLIENT_CERTIFICATE: Final = "/etc/kafka-client-certificate"
"""Folder of the certificate that the brokers show to clients, if another authority has signed it."""
CLIENT_KEYSTORE: Final = f"{CLIENT_CERTIFICATE}/{COMBINED_FILE}"
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


_ANONYMOUS: Final = "ANONYMOUS"
"""Kafka's name of a client that has not authenticated."""


@dataclass(frozen=True, kw_only=True)
class BrokerSecurity:
    """How brokers use TLS."""

    key_and_certificate: str
    """Path of the broker's private key and its certificate, as PEM."""
    authority: str
    """Path of the certificate of the authority, as PEM."""
    step: EncryptionStep = STEPS[True]
    """Its clients include the brokers themselves."""
    for_clients: str | None = None
    """Path of the key and the certificate that clients with a password see; None: the same."""


IN_PODS: Final = BrokerSecurity(key_and_certificate=KEYSTORE, authority=f"{CONFIG}/{AUTHORITY_FILE}")
"""With the files of the pods."""


def pod_names(brokers: int) -> list[str]:
    """Return the names of the brokers' pods, in the order of their ordinals."""
    return [f"{endpoints.KAFKA}-{ordinal}" for ordinal in range(brokers)]


def bootstrap_servers(brokers: int, port: int = endpoints.KAFKA_PORT) -> str:
    """Return host:port at which clients ask for the brokers.

    The headless Service has the addresses of all brokers, also of those that are not ready: clients connect although
    every broker waits for a replica that is unavailable. The address of the other Service stays while the pod of the
    one broker is replaced.
    """
    host = endpoints.KAFKA if brokers == 1 else endpoints.pods(endpoints.KAFKA)
    return f"{host}:{port}"


def hosts(brokers: int) -> list[str]:
    """Return the names by which clients reach each of the brokers."""
    return [endpoints.KAFKA] if brokers == 1 else [_host(ordinal) for ordinal in range(brokers)]


def certificate_hosts(brokers: int) -> list[str]:
    """Return the names by which clients, brokers and the programs in a broker's pod reach brokers."""
    own = [_host(ordinal) for ordinal in range(brokers)]
    return [endpoints.KAFKA, endpoints.pods(endpoints.KAFKA), *own, "localhost", "127.0.0.1"]


def command_properties(security: BrokerSecurity) -> str:
    """Return the configuration with which Kafka's programs in a broker's pod are the broker itself."""
    return "".join(f"{line}\n" for line in ["security.protocol=SSL", *tls_properties(security)])


def server_properties(ordinal: int, settings: Kafka, security: BrokerSecurity | None = None) -> str:
    """Return the configuration of a broker that is a controller, too. Each topic has a replica on each broker.

    Args:
        ordinal: of the broker's pod.
        settings: of all brokers.
        security: how they use TLS; None: all connections are in clear, and everyone may do everything.
    """
    brokers, in_sync = settings.brokers, settings.in_sync_replicas
    # No other broker could take the partitions of the only one.
    failover = [
        f"broker.session.timeout.ms={1000 * SESSION_SECONDS}",
        f"controller.socket.timeout.ms={1000 * _CONTROLLER_SECONDS}",
    ]
    return "\n".join(
        [
            "process.roles=broker,controller",
            f"node.id={_node_id(ordinal)}",
            *_listener_properties(ordinal, brokers, security),
            *(_security_properties(security) if security else ()),
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


@dataclass(frozen=True, kw_only=True)
class _Listener:
    name: str
    port: int
    protocol: str
    host: str | None
    """Which a broker tells others to connect to; None: Kafka tells them the name of the pod."""
    advertised_port: int | None = None
    """None: the same."""
    is_controller: bool = False

    @property
    def address(self) -> str:
        return f"{self.name}://:{self.port}"

    @property
    def advertised(self) -> str:
        return f"{self.name}://{self.host}:{self.advertised_port or self.port}"


def _plain_listeners(ordinal: int, brokers: int) -> list[_Listener]:
    host = hosts(brokers)[ordinal]
    return [
        _Listener(name="BROKER", port=endpoints.KAFKA_PORT, protocol="PLAINTEXT", host=host),
        _Listener(
            name="CONTROLLER",
            port=endpoints.KAFKA_CONTROLLER_PORT,
            protocol="PLAINTEXT",
            host=None,
            is_controller=True,
        ),
    ]


def _secure_listeners(ordinal: int, brokers: int) -> list[_Listener]:
    """Return the listeners with TLS: clients prove who they are with a password, all others with a certificate."""
    host = hosts(brokers)[ordinal]
    return [
        _Listener(name="BROKER_TLS", port=endpoints.KAFKA_BROKER_TLS_PORT, protocol="SSL", host=host),
        _Listener(name="CLIENT", port=endpoints.KAFKA_TLS_PORT, protocol="SASL_SSL", host=host),
        _Listener(
            name="PROXIED",
            port=endpoints.KAFKA_PROXIED_PORT,
            protocol="SSL",
            host="127.0.0.1",
            advertised_port=local_port(ordinal),
        ),
        _Listener(
            name="CONTROLLER_TLS",
            port=endpoints.KAFKA_CONTROLLER_TLS_PORT,
            protocol="SSL",
            host=host if brokers > 1 else None,
            is_controller=True,
        ),
    ]


def local_port(ordinal: int) -> int:
    """Return the port of the loopback interface at which a proxy takes connections to a broker."""
    return endpoints.KAFKA_LOCAL_PORT + _node_id(ordinal)


def _listener_properties(ordinal: int, brokers: int, security: BrokerSecurity | None) -> list[str]:
    """Return the listeners, and those over which this broker itself connects to others."""
    plain = _plain_listeners(ordinal, brokers) if security is None or security.step.takes_plain else []
    secure = _secure_listeners(ordinal, brokers) if security else []
    # Of several controller listeners, a broker uses the first one to connect.
    listeners = [*secure, *plain] if security and security.step.speaks_tls else [*plain, *secure]
    controllers = [item for item in listeners if item.is_controller]
    between_brokers = next(item for item in listeners if item.name.startswith("BROKER"))
    return [
        f"controller.quorum.voters={_voters(brokers, controllers[0].port)}",
        f"listeners={','.join(item.address for item in listeners)}",
        f"advertised.listeners={','.join(item.advertised for item in listeners if item.host)}",
        f"listener.security.protocol.map={','.join(f'{item.name}:{item.protocol}' for item in listeners)}",
        f"inter.broker.listener.name={between_brokers.name}",
        f"controller.listener.names={','.join(item.name for item in controllers)}",
    ]


def _security_properties(security: BrokerSecurity) -> list[str]:
    users = [endpoints.KAFKA, endpoints.KAFKA_USERS, *([_ANONYMOUS] if security.step.takes_plain else [])]
    return [
        *tls_properties(security),
        *(f"listener.name.{name}.ssl.client.auth=required" for name in ("broker_tls", "proxied", "controller_tls")),
        *_client_keystore(security.for_clients),
        f"listener.name.client.sasl.enabled.mechanisms={MECHANISM}",
        f"listener.name.client.{MECHANISM.lower()}.sasl.jaas.config="
        "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        # The name of a certificate is its user.
        "ssl.principal.mapping.rules=RULE:^CN=([^,]+)$/$1/",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        f"super.users={';'.join(f'User:{user}' for user in users)}",
    ]


def _client_keystore(path: str | None) -> list[str]:
    """Return what the listener of clients shows, if it is another certificate than that of the others.

    Its authority may put more into the subject than was asked for, now or later; without the two permissions a broker
    would refuse to load such a certificate while it runs.
    """
    if path is None:
        return []
    return [
        f"listener.name.client.{line}"
        for line in (
            f"ssl.keystore.location={path}",
            "ssl.allow.dn.changes=true",
            "ssl.allow.san.changes=true",
        )
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


def _voters(brokers: int, port: int) -> str:
    """Return the controllers. One alone asks no DNS for itself, which at its start would not know its address yet."""
    addresses = ["127.0.0.1"] if brokers == 1 else hosts(brokers)
    return ",".join(f"{_node_id(ordinal)}@{address}:{port}" for ordinal, address in enumerate(addresses))
