"""Creates the topics that are missing."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from service.common.errors import Unavailable
from service.common.kafka.client import CHECK_SECONDS, client_logger

_logger = logging.getLogger(__name__)


def create_missing_topics(configuration: dict[str, Any], topics: Sequence[str], partitions: int) -> None:
    """Creates those of `topics` that do not exist; several services may do so at once.

    Raises:
        Unavailable: Kafka does not answer, or refuses.
    """
    admin = AdminClient(configuration, logger=client_logger)
    try:
        missing = [name for name in topics if admin.list_topics(name, timeout=CHECK_SECONDS).topics[name].error]
        if missing:
            # -1: the cluster's default number of replicas.
            new_topics = [NewTopic(name, num_partitions=partitions, replication_factor=-1) for name in missing]
            for name, creation in admin.create_topics(new_topics, request_timeout=10.0).items():
                _finish_creation(name, creation, partitions)
    except KafkaException as error:
        raise Unavailable("Kafka is unavailable", error.args[0].name()) from error


def _finish_creation(topic: str, creation: Future[None], partitions: int) -> None:
    try:
        creation.result()
        _logger.info("topic %s created with %d partitions", topic, partitions)
    except KafkaException as error:
        # Another service created it a moment earlier.
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
