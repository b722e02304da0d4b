"""Kafka topics, the headers of a dead letter, and the consumer group of each topic."""

from typing import Final

from contracts.services import CRAWLER, TASK_MANAGER

STATUS_TOPIC: Final = "task-status"
CRAWL_TOPIC: Final = "requests-web-crawl"
CONSUMER_GROUPS: Final = {STATUS_TOPIC: TASK_MANAGER, CRAWL_TOPIC: CRAWLER}
"""By topic: the consumer group, which has the name of its service."""

DEAD_LETTER_SUFFIX: Final = ".dead-letter"
DEAD_LETTER_PREFIX: Final = "dead-letter-"
"""All headers of a dead letter that its original message did not have begin with this."""
DEAD_LETTER_REASON: Final = "dead-letter-reason"
DEAD_LETTER_SOURCE: Final = "dead-letter-source"
"""Header: `topic/partition/offset` of the original message."""
DEAD_LETTER_BODY: Final = "dead-letter-body"
"""Header: present where the original body is left out because it is too large."""


def dead_letter_topic(topic: str) -> str:
    """The topic for the messages of `topic` that cannot be handled."""
    return f"{topic}{DEAD_LETTER_SUFFIX}"
