"""Load of the capacity benchmark: spans like those of the services, encoded once, and a store that counts spans."""

import random
import threading
import time
from concurrent import futures
from dataclasses import dataclass, field
from typing import Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from checks.harness.http_receiver import serve_http
from contracts import endpoints
from contracts.hops import INSERT, PROCESS_NEW, REQUEST, SEND_NEW
from contracts.http import TASKS
from contracts.services import GATEWAY, SERVICES, TASK_MANAGER
from contracts.tasks import TABLE
from contracts.topics import STATUS_TOPIC
from lean_tracing.otlp_exporter import TRACES

A_REQUEST: Final = 512
"""Spans per export request: the batch size of the services."""
_DIFFERENT: Final = 40
"""Number of encoded requests, which are sent again and again."""
_IDS: Final = 2**64

KINDS: Final[tuple[tuple[str, int, dict[str, str | int | float]], ...]] = (
    (
        REQUEST.name,
        Span.SPAN_KIND_SERVER,
        {
            "http.request.method": "POST",
            "http.route": TASKS,
            "url.path": TASKS,
            "url.scheme": "http",
            "http.response.status_code": 201,
            "server.address": GATEWAY,
            "server.port": endpoints.SERVICE_PORT,
            "client.address": "10.244.0.17",
            "user_agent.original": "python-httpx/0.28.1",
            "task.id": "5f0c4d1e-0b7a-4123-8123-1234567890ab",
        },
    ),
    (
        SEND_NEW.name,
        Span.SPAN_KIND_PRODUCER,
        {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": STATUS_TOPIC,
            "messaging.destination.partition.id": "2",
            "messaging.kafka.offset": 184467,
            "messaging.message.body.size": 412,
            "messaging.kafka.message.key": "5f0c4d1e-0b7a-4123-8123-1234567890ab",
            "task.status": "new",
        },
    ),
    (
        PROCESS_NEW.name,
        Span.SPAN_KIND_CONSUMER,
        {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": TASK_MANAGER,
            "messaging.destination.name": STATUS_TOPIC,
            "messaging.destination.partition.id": "2",
            "messaging.kafka.offset": 184467,
            "messaging.message.body.size": 412,
            "task.kafka.consumer_lag": 3,
            "task.processing_time_ms": 11.3,
        },
    ),
    (
        INSERT.name,
        Span.SPAN_KIND_CLIENT,
        {
            "db.system.name": "postgresql",
            "db.operation.name": "INSERT",
            "db.collection.name": TABLE,
            "db.query.text": f"INSERT INTO {TABLE} (id, user_email, user_query, original_url, status) "
            "VALUES (%(id)s, %(user_email)s, %(user_query)s, %(original_url)s, %(status)s) ON CONFLICT DO NOTHING",
            "task.db.rows_affected": 1,
            "server.address": endpoints.POSTGRES,
            "server.port": endpoints.POSTGRES_PORT,
            "task.db.pool_wait_ms": 1.25,
        },
    ),
)
"""Name, kind and attributes of the services' spans."""


@dataclass(frozen=True)
class Request:
    """One export request."""

    payload: bytes
    digest: int
    """Sum of the span ids."""


def requests() -> list[Request]:
    """Return export requests of several services, the same ones in each call."""
    rng = random.Random(1)
    made = []
    for number in range(_DIFFERENT):
        request = ExportTraceServiceRequest()
        part = request.resource_spans.add()
        part.resource.attributes.extend(attributes(resource(SERVICES[number % len(SERVICES)])))
        spans = part.scope_spans.add().spans
        start = time.time_ns()
        for index in range(A_REQUEST):
            name, kind, values = KINDS[index % len(KINDS)]
            spans.append(
                Span(
                    trace_id=rng.randbytes(16),
                    span_id=rng.randbytes(8),
                    parent_span_id=rng.randbytes(8),
                    name=name,
                    kind=kind,  # type: ignore[arg-type]
                    start_time_unix_nano=start,
                    end_time_unix_nano=start + rng.randrange(100_000, 50_000_000),
                    attributes=attributes(values),
                )
            )
        made.append(Request(bytes(request.SerializeToString()), _digest(request)))
    return made


def resource(service: str) -> dict[str, str | int | float]:
    """Return the attributes of a service's process."""
    return {
        "service.name": service,
        "service.version": "0.1.0",
        "deployment.environment.name": "bench",
        "k8s.namespace.name": "tracing",
        "k8s.pod.name": f"{service}-7d9f8b6c5-x2k4q",
        "k8s.node.name": "node-1",
    }


def attributes(values: dict[str, str | int | float]) -> list[KeyValue]:
    """Return attributes as OTLP has them."""

    def value(item: str | float) -> AnyValue:
        if isinstance(item, str):
            return AnyValue(string_value=item)
        return AnyValue(int_value=item) if isinstance(item, int) else AnyValue(double_value=item)

    return [KeyValue(key=key, value=value(item)) for key, item in values.items()]


def _digest(request: ExportTraceServiceRequest) -> int:
    return sum(
        int.from_bytes(span.span_id, "big")
        for part in request.resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    )


@dataclass
class Tally:
    """Spans and the sum of their ids."""

    spans: int = 0
    digest: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, spans: int, digest: int) -> None:
        """Add one request."""
        with self._lock:
            self.spans += spans
            self.digest = (self.digest + digest) % _IDS


class CountingStore:
    """A trace store that counts spans after it has acknowledged them, so that the Collector does not wait."""

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self._server = grpc.server(
            futures.ThreadPoolExecutor(4), options=(("grpc.max_receive_message_length", 64 * 2**20),)
        )
        service, _, method = TRACES[1:].partition("/")
        handler = grpc.unary_unary_rpc_method_handler(self._take)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self._http = serve_http(self._take)

    def _take(self, request: bytes, _context: grpc.ServicerContext | None = None) -> bytes:
        self._received.append(request)
        return b""

    def url(self, *, over_http: bool) -> str:
        """Return its URL for a transport."""
        return f"http://127.0.0.1:{self._http.server_port if over_http else self.port}"

    @property
    def received_bytes(self) -> int:
        """Count the spans of all requests so far."""
        return sum(map(len, list(self._received)))

    def tally(self) -> Tally:
        """Return the count of the received spans, and reset it."""
        tally = Tally()
        received, self._received = self._received, []
        for payload in received:
            request = ExportTraceServiceRequest.FromString(payload)
            spans = sum(len(scope.spans) for part in request.resource_spans for scope in part.scope_spans)
            tally.add(spans, _digest(request))
        return tally

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop(0).wait(5)
        self._http.shutdown()
        self._http.server_close()


def send(made: list[Request], target: str, token: str, *, seconds: float, senders: int) -> Tally:
    """Send as fast as requests are acknowledged, and repeat refused ones; return the acknowledged spans."""
    tally = Tally()
    ending = time.monotonic() + seconds

    def work(number: int) -> None:
        rng = random.Random(number)
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_unary(TRACES)
            while time.monotonic() < ending:
                request = rng.choice(made)
                while True:
                    try:
                        call(request.payload, timeout=30, metadata=(("authorization", f"Bearer {token}"),))
                        break
                    except grpc.RpcError as error:
                        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                            raise
                        time.sleep(0.05)
                tally.add(A_REQUEST, request.digest)

    with futures.ThreadPoolExecutor(senders) as pool:
        for done in [pool.submit(work, number) for number in range(senders)]:
            done.result()
    return tally
