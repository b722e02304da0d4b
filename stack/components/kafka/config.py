"""Kafka's configuration: KRaft nodes that each are broker and controller."""

from typing import Final

from contracts import endpoints
from stack.components.kafka.settings import Kafka

SESSION_SECONDS: Final = 6
"""When one of several brokers is not heard of for so long, the others take its partitions, and no longer wait for its
acknowledgements. Kafka's default is 9; a broker reports every 2 seconds."""
_CONTROLLER_SECONDS: Final = 4
"""A broker asks the next controller when one does not answer for so long. With Kafka's default of 30, producers that
start after a controller was cut off wait for their id for so long (seen in `make ha`)."""
DATA: Final = "/var/lib/kafka"
"""Mount path of the volume."""

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


def server_properties(ordinal: int, settings: Kafka) -> str:
    """Return the configuration of a broker that is a controller, too. Each topic has a replica on each broker.

    Args:
        ordinal: of the broker's pod.
        settings: of all brokers.
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
            f"listeners=BROKER://:{endpoints.KAFKA_PORT},CONTROLLER://:{endpoints.KAFKA_CONTROLLER_PORT}",
            f"advertised.listeners=BROKER://{host}:{endpoints.KAFKA_PORT}",
            "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
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
