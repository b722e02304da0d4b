"""The operations that are measured, each with the export of its spans."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import uvicorn
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import Producer as PlainProducer

from checks.bench.application import BODY, TOPIC_IN, TOPIC_OUT, Store, Task, build
from checks.bench.instrumentation import Instrumentation
from checks.bench.usage import cpu_seconds
from stack.polling import poll_until

if TYPE_CHECKING:
    from service.tracing.asgi import App

ScenarioName = Literal["span", "request", "create", "process", "serve"]

_KAFKA_SECONDS = 20.0


@dataclass
class Cost:
    """What `operations` cost: CPU of this process and its children, time on the clock; seconds."""

    operations: int
    cpu: float = 0.0
    wall: float = 0.0


class Scenario(Protocol):
    """One kind of operation."""

    def run(self, operations: int) -> Cost:
        """Runs that many of them; returns when their spans have been received."""


@contextmanager
def _measured(operations: int, instrumentation: Instrumentation) -> Iterator[Cost]:
    cost = Cost(operations)
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield cost
    instrumentation.flush()
    cost.wall = time.perf_counter() - wall
    cost.cpu = cpu_seconds() - cpu


class SpanLoop:
    """A span with three attributes, and nothing in it."""

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation

    def run(self, operations: int) -> Cost:
        """See `Scenario`."""
        with _measured(operations, self._instrumentation) as cost:
            for _ in range(operations):
                with self._instrumentation.span():
                    pass
        return cost


class _Requests:
    """Drives an ASGI application inside this process: no client, no socket in the figures."""

    def __init__(self, app: App, method: str, path: str, body: bytes, traceparent: Callable[[], bytes]) -> None:
        self._app = app
        self._traceparent = traceparent
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 50000),
        }
        self._headers = [
            (b"host", b"127.0.0.1:8080"),
            (b"user-agent", b"bench/1.0"),
            (b"accept", b"application/json"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        self._message = {"type": "http.request", "body": body, "more_body": False}

    async def run(self, requests: int) -> None:
        """One after the other; a status that is not 2xx is an error."""

        async def receive() -> MutableMapping[str, Any]:
            return dict(self._message)

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and not 200 <= message["status"] < 300:
                raise RuntimeError(f"answered {message['status']}")

        for _ in range(requests):
            headers = [*self._headers, (b"traceparent", self._traceparent())]
            await self._app({**self._scope, "headers": headers}, receive, send)


class Request:
    """An HTTP request whose handler does nothing."""

    def __init__(self, instrumentation: Instrumentation, traceparent: Callable[[], bytes]) -> None:
        self._instrumentation = instrumentation
        app = instrumentation.application(build(lambda _: None))
        self._requests = _Requests(app, "GET", "/items/7", b"", traceparent)
        self._loop = asyncio.new_event_loop()

    def run(self, operations: int) -> Cost:
        """See `Scenario`."""
        with _measured(operations, self._instrumentation) as cost:
            self._loop.run_until_complete(self._requests.run(operations))
        return cost


class _Publisher:
    """Publishes to Kafka without waiting for each ack: what is measured is work, not the way to the broker."""

    def __init__(self, instrumentation: Instrumentation, kafka: str) -> None:
        self._sending = instrumentation.producer({"bootstrap.servers": kafka, "linger.ms": 1})

    def publish(self, task: Task) -> None:
        """Serves the delivery reports there are as well."""
        headers = [("status", b"new"), ("id", b"7d444840-9dc0-11d1-b245-5ffdce74fad2")]
        self._sending.produce(TOPIC_OUT, task.model_dump_json().encode(), key="7d444840", headers=headers)
        self._sending.client.poll(0)

    def finish(self) -> None:
        """Waits for the acks of all. Raises RuntimeError."""
        if self._sending.client.flush(_KAFKA_SECONDS):
            raise RuntimeError("the mock brokers take no messages")


class Create:
    """One whole operation: an HTTP request that inserts a row and publishes a message."""

    def __init__(self, instrumentation: Instrumentation, kafka: str, traceparent: Callable[[], bytes]) -> None:
        self._instrumentation = instrumentation
        self._store = Store()
        instrumentation.engine(self._store.engine)
        self._publisher = _Publisher(instrumentation, kafka)
        self._requests = _Requests(
            instrumentation.application(build(self._create)), "POST", "/tasks", BODY, traceparent
        )
        self._loop = asyncio.new_event_loop()

    def _create(self, task: Task) -> None:
        self._store.add(task)
        self._publisher.publish(task)

    def run(self, operations: int) -> Cost:
        """See `Scenario`."""
        with _measured(operations, self._instrumentation) as cost:
            self._loop.run_until_complete(self._requests.run(operations))
            self._publisher.finish()
        self._store.clear()
        return cost


class Process:
    """One whole operation: a message consumed, a row inserted, a message published."""

    def __init__(self, instrumentation: Instrumentation, kafka: str, traceparent: Callable[[], bytes]) -> None:
        self._instrumentation = instrumentation
        self._traceparent = traceparent
        self._store = Store()
        instrumentation.engine(self._store.engine)
        self._publisher = _Publisher(instrumentation, kafka)
        # The class of the C module, which no instrumentation replaces.
        self._source = PlainProducer({"bootstrap.servers": kafka, "linger.ms": 1})
        self._consuming = instrumentation.consumer(
            {"bootstrap.servers": kafka, "group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
        )

    def run(self, operations: int) -> Cost:
        """See `Scenario`."""
        first = self._fill(operations)
        consumer = self._consuming.client
        deadline = time.monotonic() + _KAFKA_SECONDS
        with _measured(operations, self._instrumentation) as cost:
            # From here on, so that no message is fetched ahead of the measurement.
            consumer.assign([TopicPartition(TOPIC_IN, 0, first)])
            done = 0
            while done < operations:
                message = consumer.poll(0.2)
                if message is None:
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"{done} of {operations} messages within {_KAFKA_SECONDS:g} s")
                    continue
                if (error := message.error()) is not None:
                    raise RuntimeError(error.str())
                with self._consuming.process(message):
                    task = Task.model_validate_json(message.value() or b"")
                    self._store.add(task)
                    self._publisher.publish(task)
                done += 1
            consumer.poll(0)  # the stock instrumentation ends the last span with the next poll
            self._publisher.finish()
        consumer.unassign()
        self._store.clear()
        return cost

    def _fill(self, messages: int) -> int:
        """Puts that many messages onto the topic; the offset of the first."""
        offsets: list[int] = []
        failures: list[str] = []

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                offsets.append(message.offset())
            else:
                failures.append(error.str())

        for _ in range(messages):
            headers: list[tuple[str, str | bytes | None]] = [("status", b"new"), ("traceparent", self._traceparent())]
            self._source.produce(TOPIC_IN, BODY, partition=0, headers=headers, on_delivery=delivered)
        self._source.flush(_KAFKA_SECONDS)
        if failures or len(offsets) != messages:
            raise RuntimeError(f"{len(offsets)} of {messages} messages on the topic; {failures[:1]}")
        return min(offsets)


class Serve:
    """The application behind a real socket; the client, in another process, measures latency."""

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation
        app = instrumentation.application(build(lambda _: None))
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=600,  # a variant's turn comes again after all others had theirs
        )
        server = uvicorn.Server(config)
        threading.Thread(target=server.run, daemon=True).start()
        poll_until("server", lambda: server.started)
        self.port: int = server.servers[0].sockets[0].getsockname()[1]

    def run(self, operations: int) -> Cost:
        """The cost so far: requests come from outside."""
        self._instrumentation.flush()
        return Cost(operations, cpu_seconds(), time.perf_counter())


def trace_contexts(sampled: bool) -> Callable[[], bytes]:
    """Makes `traceparent` values, each of a trace of its own."""
    numbers = itertools.count(1)
    flags = b"01" if sampled else b"00"

    def following() -> bytes:
        number = next(numbers)
        return b"00-%032x-%016x-%s" % (number + (1 << 100), number, flags)

    return following
