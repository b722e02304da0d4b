"""The agent of the coverage check inside the stack: writes to Kafka, reads topics and the database. It does no tracing.

It runs in the services' image with a service's variables of Kafka and DATABASE_URL, and needs nothing else. It reads
commands as lines of JSON on stdin and answers with lines of JSON on stdout; bytes are in base64.
"""

import base64
import json
import os
import sys
import time
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from sqlalchemy import bindparam, create_engine, text

from service.common.config import ServiceSettings
from service.common.kafka.client import client_configuration

SECONDS = 20.0
# Other headers are the senders' own, and may be long.
READ_HEADERS = frozenset({"traceparent", "dead-letter-source"})
_READY = {"ready": True}


class Agent:
    """Serves one run."""

    def __init__(self, kafka: dict[str, Any], database: str) -> None:
        """kafka: the configuration that all clients share."""
        self._kafka = kafka
        self._groups: dict[tuple[str, str], tuple[Consumer, list[TopicPartition]]] = {}
        self._producer = Producer(kafka | {"enable.idempotence": True, "message.max.bytes": 2_000_000, "linger.ms": 1})
        self._consumer = Consumer(
            kafka
            | {
                "group.id": "coverage-ledger",  # the client requires one; nothing is committed
                "enable.auto.commit": False,
                "fetch.message.max.bytes": 2_000_000,
            }
        )
        self._admin = AdminClient(kafka)
        self._watched: list[TopicPartition] = []
        self._engine = create_engine(database, pool_pre_ping=True)

    def watch(self, topics: list[str]) -> dict[str, Any]:
        """Reads these topics from now on."""
        partitions = [TopicPartition(topic, partition) for topic in topics for partition in self._partitions(topic)]
        self._watched = [TopicPartition(*partition, end) for partition, end in self._ends(partitions).items()]
        self._consumer.assign(self._watched)
        return {"partitions": len(self._watched)}

    def _partitions(self, topic: str) -> list[int]:
        description = self._producer.list_topics(topic, timeout=SECONDS).topics[topic]
        if description.error is not None:
            raise RuntimeError(f"{topic}: {description.error}")
        return list(description.partitions)

    def _ends(self, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
        # Not through the consumer: a broker answers a connection's requests in order, so this one would wait behind
        # the fetch.
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        futures = self._admin.list_offsets(
            {TopicPartition(partition.topic, partition.partition): latest for partition in partitions},
            request_timeout=SECONDS,
        )
        return {(partition.topic, partition.partition): future.result().offset for partition, future in futures.items()}

    def records(self) -> dict[str, Any]:
        """Key and READ_HEADERS of all records that arrived since the last call."""
        records = []
        ends = self._ends(self._watched)
        offsets = {(partition.topic, partition.partition): partition.offset for partition in self._watched}
        deadline = time.monotonic() + SECONDS
        while any(offsets[partition] < end for partition, end in ends.items()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"records not read within {SECONDS:g} s")
            for message in self._consumer.consume(500, 0.1):
                if message.error() is not None:
                    continue
                offsets[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
                key, headers = message.key(), message.headers() or ()
                pairs = headers.items() if isinstance(headers, dict) else headers
                records.append(
                    {
                        "topic": message.topic(),
                        "key": key.decode("latin-1") if isinstance(key, bytes) else key,
                        "headers": [[name, _encode(value)] for name, value in pairs if name in READ_HEADERS],
                    }
                )
        self._watched = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]
        return {"records": records}

    def produce(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Writes messages; returns (partition, offset) of each, in their order, once the broker has all of them."""
        positions: list[list[int] | None] = [None] * len(messages)

        def on_delivery(number: int) -> Any:
            def delivered(error: Any, message: Any) -> None:
                positions[number] = None if error is not None else [message.partition(), message.offset()]

            return delivered

        for number, message in enumerate(messages):
            self._producer.produce(
                message["topic"],
                value=_decode(message["value"]),
                key=message["key"],
                headers=[(name, _decode(value)) for name, value in message["headers"]],
                on_delivery=on_delivery(number),
            )
        self._producer.flush(SECONDS)
        return {"positions": positions}

    def committed(self, group: str, topic: str) -> dict[str, Any]:
        """The offset up to which the group has handled the topic, by partition."""
        if (group, topic) not in self._groups:
            self._groups[group, topic] = (
                Consumer(self._kafka | {"group.id": group}),
                [TopicPartition(topic, partition) for partition in self._partitions(topic)],
            )
        reader, partitions = self._groups[group, topic]
        offsets = reader.committed(partitions, timeout=SECONDS)
        return {"committed": {str(partition.partition): partition.offset for partition in offsets}}

    def tasks(self, ids: list[str]) -> dict[str, Any]:
        """Status of each of these tasks that is stored."""
        if not ids:
            return {"tasks": {}}
        # Both queries use the index of the primary key; SQLite keeps ids as 32 hex digits.
        if self._engine.dialect.name == "sqlite":
            ids = [identifier.replace("-", "") for identifier in ids]
            query = text("SELECT id, status FROM web_crawl_tasks WHERE id IN :ids")
            query = query.bindparams(bindparam("ids", expanding=True))
        else:
            query = text("SELECT id, status FROM web_crawl_tasks WHERE id = ANY(CAST(:ids AS uuid[]))")
        with self._engine.connect() as connection:
            rows = connection.execute(query, {"ids": ids})
            return {"tasks": {str(row[0]).replace("-", ""): row[1] for row in rows}}

    def execute(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Executes one command."""
        match command:
            case "watch":
                return self.watch(**arguments)
            case "records":
                return self.records()
            case "produce":
                return self.produce(**arguments)
            case "committed":
                return self.committed(**arguments)
            case "tasks":
                return self.tasks(**arguments)
            case unknown:
                raise ValueError(f"no such command: {unknown}")


def _encode(value: str | bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _decode(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)


def main() -> None:
    """Serves until stdin ends."""
    kafka = client_configuration(ServiceSettings.from_env(os.environ), "coverage-ledger")
    agent = Agent(kafka, os.environ["DATABASE_URL"])
    print(json.dumps(_READY), flush=True)
    for line in sys.stdin:
        try:
            answer = agent.execute(**json.loads(line))
        except Exception as error:  # the client of the agent decides what follows
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
