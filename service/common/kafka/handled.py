"""Deletes messages that every consumer has handled, and says how long Kafka keeps the rest."""

from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from service.common.errors import Unavailable
from service.common.kafka.client import client_logger

_SECONDS: Final = 10.0
_RETENTION: Final = "retention.ms"


class HandledMessages:
    """The messages of topics up to the offsets that their consumer groups have committed."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        """configuration: of a client."""
        self._admin = AdminClient(configuration, logger=client_logger)

    def delete(self, topic: str, group: str) -> int:
        """Deletes them, and returns how many partitions have some; consumers lose nothing.

        Raises:
            Unavailable: Kafka does not answer, or refuses.
        """
        try:
            committed = self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group)], request_timeout=_SECONDS
            )[group].result()
            positions = [
                TopicPartition(topic, position.partition, position.offset)
                for position in committed.topic_partitions or []
                if position.topic == topic and position.offset > 0
            ]
            for deletion in (
                self._admin.delete_records(positions, request_timeout=_SECONDS).values() if positions else ()
            ):
                deletion.result()
        except KafkaException as error:
            raise Unavailable("Kafka is unavailable", error.args[0].name()) from error
        return len(positions)

    def retention_hours(self, topic: str) -> float | None:
        """The time for which Kafka keeps messages; None: for ever.

        Raises:
            Unavailable: Kafka does not answer, or refuses.
        """
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            settings = self._admin.describe_configs([resource], request_timeout=_SECONDS)[resource].result()
        except KafkaException as error:
            raise Unavailable("Kafka is unavailable", error.args[0].name()) from error
        milliseconds = int(settings[_RETENTION].value)
        return None if milliseconds < 0 else milliseconds / 3_600_000
