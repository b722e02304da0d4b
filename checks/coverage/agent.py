"""The ledger's hands inside the stack: writes to Kafka, reads its topics and the database. Imports no tracing.

Runs wherever the services' image runs, with a service's own KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, and needs nothing
but that image. Takes orders and answers as lines of JSON on stdin and stdout; bytes travel as base64.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from sqlalchemy import bindparam, create_engine, text

SECONDS = 20.0
# The others are the senders' own, and may be long.
READ_HEADERS = frozenset({"traceparent", "dead-letter-source"})
_READY = {"ready": True}


class Agent:
    """Serves one run."""

    def __init__(self, servers: str, database: str) -> None:
        self._servers = servers
        self._groups: dict[tuple[str, str], tuple[Consumer, list[TopicPartition]]] = {}
        self._producer = Producer(
            {"bootstrap.servers": servers, "enable.idempotence": True, "message.max.bytes": 2_000_000, "linger.ms": 1}
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "coverage-ledger",  # wanted by the client; nothing is committed
                "enable.auto.commit": False,
                "fetch.message.max.bytes": 2_000_000,
            }
        )
        self._admin = AdminClient({"bootstrap.servers": servers})
        self._watched: list[TopicPartition] = []
        self._engine = create_engine(database, pool_pre_ping=True)

    def watch(self, topics: list[str]) -> dict[str, Any]:
        """Reads these topics from now on."""
        places = [TopicPartition(topic, partition) for topic in topics for partition in self._partitions(topic)]
        self._watched = [TopicPartition(*place, end) for place, end in self._ends(places).items()]
        self._consumer.assign(self._watched)
        return {"partitions": len(self._watched)}

    def _partitions(self, topic: str) -> list[int]:
        known = self._producer.list_topics(topic, timeout=SECONDS).topics[topic]
        if known.error is not None:
            raise RuntimeError(f"{topic}: {known.error}")
        return list(known.partitions)

    def _ends(self, places: list[TopicPartition]) -> dict[tuple[str, int], int]:
        # Not asked through the consumer: a broker answers one connection in order, after the fetch that waits there.
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(
            {TopicPartition(place.topic, place.partition): latest for place in places},
            request_timeout=SECONDS,
        )
        return {(place.topic, place.partition): answer.result().offset for place, answer in asked.items()}

    def records(self) -> dict[str, Any]:
        """Key and READ_HEADERS of all that came since the last time."""
        found = []
        ends = self._ends(self._watched)
        reached = {(place.topic, place.partition): place.offset for place in self._watched}
        deadline = time.monotonic() + SECONDS
        while any(reached[place] < end for place, end in ends.items()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"records not read within {SECONDS:g} s")
            for message in self._consumer.consume(500, 0.1):
                if message.error() is not None:
                    continue
                reached[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
                key, headers = message.key(), message.headers() or ()
                pairs = headers.items() if isinstance(headers, dict) else headers
                found.append(
                    {
                        "topic": message.topic(),
                        "key": key.decode("latin-1") if isinstance(key, bytes) else key,
                        "headers": [[name, _encode(value)] for name, value in pairs if name in READ_HEADERS],
                    }
                )
        self._watched = [TopicPartition(*place, offset) for place, offset in reached.items()]
        return {"records": found}

    def produce(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Writes them; (partition, offset) of each, in their order, once the broker has them all."""
        placed: list[list[int] | None] = [None] * len(messages)

        def note(number: int) -> Any:
            def delivered(error: Any, message: Any) -> None:
                placed[number] = None if error is not None else [message.partition(), message.offset()]

            return delivered

        for number, message in enumerate(messages):
            self._producer.produce(
                message["topic"],
                value=_decode(message["value"]),
                key=message["key"],
                headers=[(name, _decode(value)) for name, value in message["headers"]],
                on_delivery=note(number),
            )
        self._producer.flush(SECONDS)
        return {"placed": placed}

    def committed(self, group: str, topic: str) -> dict[str, Any]:
        """Offset up to which the group has done its work, by partition."""
        if (group, topic) not in self._groups:
            self._groups[group, topic] = (
                Consumer({"bootstrap.servers": self._servers, "group.id": group}),
                [TopicPartition(topic, partition) for partition in self._partitions(topic)],
            )
        reader, wanted = self._groups[group, topic]
        places = reader.committed(wanted, timeout=SECONDS)
        return {"committed": {str(place.partition): place.offset for place in places}}

    def tasks(self, ids: list[str]) -> dict[str, Any]:
        """Status of each of these tasks that is stored."""
        if not ids:
            return {"tasks": {}}
        # Neither hides the primary key from its index; SQLite keeps ids as 32 hex digits.
        if self._engine.dialect.name == "sqlite":
            ids = [name.replace("-", "") for name in ids]
            query = text("SELECT id, status FROM web_crawl_tasks WHERE id IN :ids")
            query = query.bindparams(bindparam("ids", expanding=True))
        else:
            query = text("SELECT id, status FROM web_crawl_tasks WHERE id = ANY(CAST(:ids AS uuid[]))")
        with self._engine.connect() as connection:
            rows = connection.execute(query, {"ids": ids})
            return {"tasks": {str(row[0]).replace("-", ""): row[1] for row in rows}}

    def do(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carries out one order."""
        match order.pop("do"):
            case "watch":
                return self.watch(**order)
            case "records":
                return self.records()
            case "produce":
                return self.produce(**order)
            case "committed":
                return self.committed(**order)
            case "tasks":
                return self.tasks(**order)
            case unknown:
                raise ValueError(f"no such order: {unknown}")


def _encode(value: str | bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _decode(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)


def main() -> None:
    """Serves until stdin ends."""
    agent = Agent(os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["DATABASE_URL"])
    print(json.dumps(_READY), flush=True)
    for line in sys.stdin:
        try:
            answer = agent.do(json.loads(line))
        except Exception as error:  # told to who asked, who decides
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
