"""Traces for tests of tail sampling: those that are always kept, and others of which a share is."""

import hashlib
import time
from collections.abc import Mapping
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from contracts.http import KEEP_KEY

SPANS: Final = 4
"""Spans of each trace."""
KINDS: Final = ("error", "slow", "check", "rest", "rest", "rest", "rest", "rest")
COUNT: Final = 400
"""Number of traces; for 250 of them only the ratio decides."""
RATIO: Final = 0.2


def trace_id(run: int, number: int) -> bytes:
    """Return an id like a random one, because the ratio policy uses the id."""
    return hashlib.blake2b(f"{run}/{number}".encode(), digest_size=16).digest()


def requests(run: int) -> list[bytes]:
    """Return export requests, each with one span of every trace: services send the spans of a trace apart."""
    joined = [ExportTraceServiceRequest() for _ in range(SPANS)]
    for number in range(COUNT):
        start = time.time_ns()
        for index, request in enumerate(joined):
            _add(request, run, number, index, start)
    return [bytes(request.SerializeToString()) for request in joined]


def _add(request: ExportTraceServiceRequest, run: int, number: int, index: int, start: int) -> None:
    """Adds a span. One span of a trace shows its kind."""
    kind = kind_of(number)
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id = trace_id(run, number)
    span.span_id = (number * SPANS + index + 1).to_bytes(8, "big")
    span.name = kind
    span.kind = Span.SPAN_KIND_SERVER
    span.start_time_unix_nano = start
    span.end_time_unix_nano = start + (2_000_000_000 if kind == "slow" and index == 2 else 1_000_000)
    if kind == "error" and index == 3:
        span.status.code = Status.STATUS_CODE_ERROR
    if kind == "check":
        span.trace_state = f"{KEEP_KEY}=1"


def kind_of(number: int) -> str:
    """Return the kind of a trace."""
    return KINDS[number % len(KINDS)]


def missing(stored: Mapping[int, int]) -> list[int]:
    """Return the traces that are always kept, of which spans are missing.

    Args:
        stored: number of a trace → its spans in the store.
    """
    return [number for number in range(COUNT) if kind_of(number) != "rest" and stored.get(number, 0) < SPANS]


def assert_sampled(stored: Mapping[int, int]) -> None:
    """Checks that failed, slow and marked traces are whole, and a share of the rest."""
    assert set(stored.values()) <= {0, SPANS}, "whole traces or nothing"
    kept = [kind_of(number) for number, spans in stored.items() if spans]
    for kind in ("error", "slow", "check"):
        assert kept.count(kind) == COUNT // len(KINDS), kind
    # 250 traces at a ratio of 0.2: outside these limits once in 100,000 runs.
    assert 25 <= kept.count("rest") <= 80
