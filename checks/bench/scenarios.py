"""The measured operations. The cost of each includes the export of its spans."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import Producer as PlainProducer

from checks.bench.application import BODY, TOPIC_IN, TOPIC_OUT, Store, Task, build
from checks.bench.instrumentation import Instrumentation
from checks.bench.usage import cpu_seconds

if TYPE_CHECKING:
    from lean_tracing.asgi import App

ScenarioName = Literal["span", "varied", "request", "sql", "produce", "consume", "create", "process", "serve"]

_KAFKA_SECONDS = 20.0
_TICK_SECONDS = 0.005


@dataclass
class Cost:
    """Cost of `operations` in seconds: CPU of this process and its children, and elapsed time."""

    operations: int
    cpu: float = 0.0
    wall: float = 0.0


class Scenario(Protocol):
    """A kind of operation."""

    def run(self, operations: int) -> Cost:
        """Run so many operations; return when their spans have been received."""


@contextmanager
def _measured(operations: int, instrumentation: Instrumentation) -> Iterator[Cost]:
    cost = Cost(operations)
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield cost
    instrumentation.flush()
    cost.wall = time.perf_counter() - wall
    cost.cpu = cpu_seconds() - cpu


class SpanLoop:
    """Spans with three attributes, in a loop. All have the same values, as the status of a task."""

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation
        self._numbers = itertools.count(1)

    def run(self, operations: int) -> Cost:
        with _measured(operations, self._instrumentation) as cost:
            for number in itertools.islice(self._numbers, operations):
                with self._instrumentation.span(self._attributes(number)):
                    pass
        return cost

    def run_at(self, rate: int, seconds: float) -> Cost:
        """Make the spans of some seconds, `rate` a second, or as fast as this process can.

        Returns:
            The cost: `wall` without the time in which the last spans are exported.
        """
        cpu, started = cpu_seconds(), time.perf_counter()
        cost, total = Cost(0), int(rate * seconds)
        while cost.operations < total:
            due = min(int(rate * (time.perf_counter() - started + _TICK_SECONDS)), total) - cost.operations
            for number in itertools.islice(self._numbers, due):
                with self._instrumentation.span(self._attributes(number)):
                    pass
            cost.operations += due
            time.sleep(max(0.0, cost.operations / rate - (time.perf_counter() - started)))
        cost.wall = time.perf_counter() - started
        self._instrumentation.flush()
        cost.cpu = cpu_seconds() - cpu
        return cost

    def _attributes(self, _number: int) -> Mapping[str, str | int | float]:
        return {"task.status": "new", "task.outcome": "created", "attempt": 1}


class VariedSpanLoop(SpanLoop):
    """The same with values that occur once, so that none is found in a cache."""

    def _attributes(self, number: int) -> Mapping[str, str | int | float]:
        return {"order.id": f"{number:08x}-9dc0-41d1-b245-5ffdce74fad2", "order.items": number, "price": number * 0.7}


class _Requests:
    """Calls an ASGI application inside this process, so that no client and no socket is measured."""

    def __init__(self, app: "App", method: str, path: str, body: bytes, traceparent: Callable[[], bytes]) -> None:
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
        """Send requests one after the other; a status other than 2xx is an error."""

        async def receive() -> MutableMapping[str, Any]:
            return dict(self._message)

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and not 200 <= message["status"] < 300:
                raise RuntimeError(f"answered {message['status']}")

        for _ in range(requests):
            headers = [*self._headers, (b"traceparent", self._traceparent())]
            await self._app({**self._scope, "headers": headers}, receive, send)


class Request:
    """HTTP requests whose handler does nothing."""

    def __init__(self, instrumentation: Instrumentation, traceparent: Callable[[], bytes]) -> None:
        self._instrumentation = instrumentation
        app = instrumentation.application(build(lambda _: None))
        self._requests = _Requests(app, "GET", "/items/7", b"", traceparent)
        self._loop = asyncio.new_event_loop()

    def run(self, operations: int) -> Cost:
        with _measured(operations, self._instrumentation) as cost:
            self._loop.run_until_complete(self._requests.run(operations))
        return cost


class _Publisher:
    """Publishes to Kafka without waiting for each acknowledgement, so that CPU is measured, not the network."""

    def __init__(self, instrumentation: Instrumentation, kafka: str) -> None:
        self._sending = instrumentation.producer({"bootstrap.servers": kafka, "linger.ms": 1})

    def publish(self, task: Task) -> None:
        """Publish a task, and handle the pending delivery reports."""
        headers = [("status", b"new"), ("id", b"7d444840-9dc0-11d1-b245-5ffdce74fad2")]
        self._sending.produce(TOPIC_OUT, task.model_dump_json().encode(), key="7d444840", headers=headers)
        self._sending.client.poll(0)

    def finish(self) -> None:
        """Wait for all acknowledgements.

        Raises:
            RuntimeError: they do not come in time.
        """
        if self._sending.client.flush(_KAFKA_SECONDS):
            raise RuntimeError("the mock brokers do not acknowledge the messages")


class Create:
    """HTTP requests that each insert a row and publish a message."""

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
        with _measured(operations, self._instrumentation) as cost:
            self._loop.run_until_complete(self._requests.run(operations))
            self._publisher.finish()
        self._store.clear()
        return cost


class Sql:
    """Transactions that insert one row."""

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation
        self._store = Store()
        instrumentation.engine(self._store.engine)
        self._task = Task.model_validate_json(BODY)

    def run(self, operations: int) -> Cost:
        with _measured(operations, self._instrumentation) as cost:
            for _ in range(operations):
                self._store.add(self._task)
        self._store.clear()
        return cost


class Produce:
    """Messages that are published."""

    def __init__(self, instrumentation: Instrumentation, kafka: str) -> None:
        self._instrumentation = instrumentation
        self._publisher = _Publisher(instrumentation, kafka)
        self._task = Task.model_validate_json(BODY)

    def run(self, operations: int) -> Cost:
        with _measured(operations, self._instrumentation) as cost:
            for _ in range(operations):
                self._publisher.publish(self._task)
            self._publisher.finish()
        return cost


class Consume:
    """Messages that are consumed; nothing is done with them."""

    def __init__(self, instrumentation: Instrumentation, kafka: str, traceparent: Callable[[], bytes]) -> None:
        self._instrumentation = instrumentation
        self._traceparent = traceparent
        # The class of the C module, because no instrumentation replaces that one.
        self._source = PlainProducer({"bootstrap.servers": kafka, "linger.ms": 1})
        self._consuming = instrumentation.consumer(
            {"bootstrap.servers": kafka, "group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
        )

    def _handle(self, body: bytes) -> None:
        """Work on a message, inside of its span."""

    def _finish(self) -> None:
        """Wait for the work on all messages; it is measured."""

    def run(self, operations: int) -> Cost:
        first = self._fill(operations)
        consumer = self._consuming.client
        deadline = time.monotonic() + _KAFKA_SECONDS
        with _measured(operations, self._instrumentation) as cost:
            # Assigned only now, so that no message is fetched before the measurement.
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
                    self._handle(message.value() or b"")
                done += 1
            consumer.poll(0)  # the stock instrumentation ends the last span with the next poll
            self._finish()
        consumer.unassign()
        return cost

    def _fill(self, messages: int) -> int:
        """Send so many messages to the topic, and return the offset of the first."""
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


class Process(Consume):
    """Messages that are consumed; each inserts a row and publishes a message."""

    def __init__(self, instrumentation: Instrumentation, kafka: str, traceparent: Callable[[], bytes]) -> None:
        super().__init__(instrumentation, kafka, traceparent)
        self._store = Store()
        instrumentation.engine(self._store.engine)
        self._publisher = _Publisher(instrumentation, kafka)

    def _handle(self, body: bytes) -> None:
        task = Task.model_validate_json(body)
        self._store.add(task)
        self._publisher.publish(task)

    def _finish(self) -> None:
        self._publisher.finish()

    def run(self, operations: int) -> Cost:
        cost = super().run(operations)
        self._store.clear()
        return cost


def trace_contexts(sampled: bool) -> Callable[[], bytes]:
    """Return a function that makes `traceparent` values, each of a new trace."""
    numbers = itertools.count(1)
    flags = b"01" if sampled else b"00"

    def following() -> bytes:
        number = next(numbers)
        return b"00-%032x-%016x-%s" % (number + (1 << 100), number, flags)

    return following
