"""Load of the benchmark of the whole path: traces of tasks, whose spans come from three services at a constant rate."""

import random
import threading
import time
from concurrent import futures
from typing import Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from checks.bench.capacity_load import KINDS, attributes, resource
from contracts.services import SERVICES
from lean_tracing.otlp_exporter import TRACES

SPANS: Final = 16
"""Spans of a trace: those of a task that succeeds."""
TRACES_A_BATCH: Final = 32
SPANS_A_BATCH: Final = SPANS * TRACES_A_BATCH
"""Spans of one batch: a request of each service, as its batch processor would send it."""
_DIFFERENT: Final = 20
"""Number of encoded batches, which are sent again and again, each time with other ids."""
_NUMBER: Final = b"\xa5\x5anumber"
"""In a trace id: where the number of the batch is written."""
_TEXT: Final = b"number__"
"""In a task's id: where the number of the batch is written."""
_SPREADING: Final = 0x9E3779B97F4A7C15
"""An odd number near 2^64 divided by the golden ratio: its multiples look random (D. E. Knuth, TAOCP 3, 6.4)."""
_SPREAD_NANOSECONDS: Final = 10_000_000_000
_SENDERS: Final = 6


class Batches:
    """Batches of the traces of tasks; a batch with another number has other traces."""

    def __init__(self) -> None:
        self._rng = random.Random(7)
        self._templates = [self._template() for _ in range(_DIFFERENT)]

    def requests(self, number: int) -> list[bytes]:
        """Return the export requests of one batch: one of each service."""
        # Each batch has traces of its own, whose ids spread over Kafka's partitions.
        trace = ((number + 1) * _SPREADING % 2**64).to_bytes(8, "big")
        task = f"{number:08x}".encode()
        template = self._templates[number % _DIFFERENT]
        return [payload.replace(_NUMBER, trace).replace(_TEXT, task) for payload in template]

    def _template(self) -> list[bytes]:
        traces = [
            (_NUMBER + self._rng.randbytes(8), f"{_TEXT.decode()}-{self._rng.getrandbits(96):024x}")
            for _ in range(TRACES_A_BATCH)
        ]
        shares = [SPANS // len(SERVICES) + (index < SPANS % len(SERVICES)) for index in range(len(SERVICES))]
        return [self._request(service, share, traces) for service, share in zip(SERVICES, shares, strict=True)]

    def _request(self, service: str, share: int, traces: list[tuple[bytes, str]]) -> bytes:
        request = ExportTraceServiceRequest()
        part = request.resource_spans.add()
        part.resource.attributes.extend(attributes(resource(service)))
        spans = part.scope_spans.add().spans
        now = time.time_ns()
        for trace_id, task in traces:
            for index in range(share):
                name, kind, values = KINDS[index % len(KINDS)]
                start = now - self._rng.randrange(_SPREAD_NANOSECONDS)
                spans.append(
                    Span(
                        trace_id=trace_id,
                        span_id=self._rng.randbytes(8),
                        parent_span_id=self._rng.randbytes(8),
                        name=name,
                        kind=kind,  # type: ignore[arg-type]
                        start_time_unix_nano=start,
                        end_time_unix_nano=start + self._rng.randrange(100_000, 50_000_000),
                        attributes=attributes({**values, "task.id": task}),
                    )
                )
        return bytes(request.SerializeToString())


def send_at_rate(
    batches: Batches,
    target: str,
    token: str,
    *,
    first: int,
    count: int,
    spans_per_second: float,
    is_over: threading.Event | None = None,
) -> None:
    """Send `count` batches at a constant rate, and return when all are acknowledged.

    Args:
        batches: that are sent.
        target: host:port of OTLP over gRPC.
        token: of the receiver.
        first: number of the first batch.
        count: of batches.
        spans_per_second: the rate. A receiver that is slower is sent each batch as soon as it takes it.
        is_over: when it is set, no further batch is sent.

    Raises:
        grpc.RpcError: the receiver refused a request for good.
    """
    started = time.monotonic()
    over = is_over or threading.Event()
    with grpc.insecure_channel(target) as channel, futures.ThreadPoolExecutor(_SENDERS) as pool:
        call = channel.unary_unary(TRACES)

        def deliver(number: int) -> None:
            due = started + (number - first) * SPANS_A_BATCH / spans_per_second
            if over.wait(max(0.0, due - time.monotonic())):
                return
            for payload in batches.requests(number):
                call(payload, timeout=30, metadata=(("authorization", f"Bearer {token}"),))

        for done in [pool.submit(deliver, number) for number in range(first, first + count)]:
            done.result()
