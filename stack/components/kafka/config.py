"""Kafka's configuration: one KRaft node that is broker and controller."""

from typing import Final

from contracts import endpoints

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


def server_properties(partitions: int) -> str:
    """Return the configuration of the broker. Topics have one replica, since there is one broker."""
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
            f"log.dirs={DATA}/log",
            f"num.partitions={partitions}",
            # A misspelt topic must be an error, not a new topic.
            "auto.create.topics.enable=false",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=8",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            # The services commit each message before they handle it, which takes 1.9 ms. With the default, which waits
            # 5 ms for commits of other clients, it takes 8.9 ms.
            "group.coordinator.append.linger.ms=0",
            "",
        ]
    )
