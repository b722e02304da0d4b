"""What each user of Kafka may do: it reaches its own topics alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from collector import pipeline
from contracts import endpoints
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from contracts.topics import CONSUMER_GROUPS, CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Operations on resources of one kind."""

    kind: Literal["topic", "group"]
    names: Sequence[str]
    operations: Sequence[str]
    """As Kafka names them, in upper case."""


INGEST_TOPIC: Final = "tempo-ingest"
"""Through which Tempo's distributors pass the spans on to its other parts."""
_TEMPO_GROUPS: Final = (endpoints.TEMPO_LIVE_STORE, "block-builder")
"""Tempo names the one after the live stores' pods; the other is a default of its own."""
_CREATE: Final = ("CREATE", "DESCRIBE")
_WRITE: Final = (*_CREATE, "WRITE")

RIGHTS: Final[Mapping[str, Sequence[Rights]]] = {
    GATEWAY: (Rights(kind="topic", names=(STATUS_TOPIC,), operations=_WRITE),),
    TASK_MANAGER: (
        # It also deletes handled messages about a person, and says how long the rest is kept.
        Rights(kind="topic", names=(STATUS_TOPIC, CRAWL_TOPIC), operations=(*_WRITE, "DELETE", "DESCRIBE_CONFIGS")),
        Rights(kind="topic", names=(STATUS_TOPIC,), operations=("READ",)),
        Rights(
            kind="topic",
            names=(dead_letter_topic(STATUS_TOPIC), dead_letter_topic(CRAWL_TOPIC)),
            operations=(*_WRITE, "DESCRIBE_CONFIGS"),
        ),
        Rights(kind="group", names=(CONSUMER_GROUPS[STATUS_TOPIC],), operations=("READ",)),
        Rights(kind="group", names=(CONSUMER_GROUPS[CRAWL_TOPIC],), operations=("DESCRIBE",)),
    ),
    CRAWLER: (
        Rights(kind="topic", names=(CRAWL_TOPIC,), operations=(*_WRITE, "READ")),
        Rights(kind="topic", names=(STATUS_TOPIC, dead_letter_topic(CRAWL_TOPIC)), operations=_WRITE),
        Rights(kind="group", names=(CONSUMER_GROUPS[CRAWL_TOPIC],), operations=("READ",)),
    ),
    endpoints.COLLECTOR: (Rights(kind="topic", names=(pipeline.TOPIC,), operations=("DESCRIBE", "WRITE")),),
    endpoints.TEMPO_KAFKA: (
        Rights(kind="topic", names=(INGEST_TOPIC,), operations=(*_WRITE, "READ")),
        Rights(kind="group", names=_TEMPO_GROUPS, operations=("READ",)),
    ),
    endpoints.SAMPLER: (
        Rights(kind="topic", names=(pipeline.TOPIC,), operations=(*_CREATE, "READ")),
        Rights(kind="group", names=(endpoints.SAMPLER,), operations=("READ",)),
    ),
}
"""User → its rights. All but Tempo have a password; it has a certificate."""


def single(rights: Mapping[str, Sequence[Rights]]) -> list[dict[str, str]]:
    """Return each operation of each user on each resource, as `stack.kafka_users` reads them."""
    return [
        {"user": user, "kind": item.kind, "name": name, "operation": operation}
        for user, items in rights.items()
        for item in items
        for name in item.names
        for operation in item.operations
    ]
