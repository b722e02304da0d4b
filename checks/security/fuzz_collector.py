"""Hostile inputs at a Collector: no crash, no hang, no unbounded memory, no valid span lost."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.harness.collector import TOKEN
from checks.harness.collector_with_store import running_collector
from checks.harness.receiver import receiving
from checks.security.fuzz_limits import HANG_SECONDS, VALID_EVERY, bounded, numbers
from checks.security.mutation import Mutator
from checks.security.outcome import Outcome
from contracts.endpoints import OTLP_MAX_MIB
from lean_tracing.otlp_exporter import TRACES
from stack.polling import CheckFailure, poll_until


def fuzz_collector(count: int, seed: int) -> Outcome:
    """Send hostile OTLP requests to a Collector, and valid ones between them."""
    outcome = Outcome(attack="hostile OTLP requests")
    mutator = Mutator(seed, [_request("sample"), _request("GET /api/tasks/{id}")])
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(receiving(largest=OTLP_MAX_MIB << 20))
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="fuzz-")))
        collector = stack.enter_context(running_collector(store, directory / "collector", queue_size=100_000))
        channel = stack.enter_context(grpc.insecure_channel(collector.grpc))
        export = channel.unary_unary(TRACES)
        metadata: Any = (("authorization", f"Bearer {TOKEN}"),)
        valid: list[bytes] = []
        with bounded(outcome, {"collector": collector.pid}):
            for number in numbers(count):
                try:
                    export(mutator.next(), timeout=HANG_SECONDS, metadata=metadata)
                    outcome.add(None)
                except grpc.RpcError as error:
                    code = error.code()
                    is_bad = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                    outcome.add(code.name if is_bad else None)
                if number % VALID_EVERY == 0:
                    valid.append(f"valid {number} of {seed}".encode())
                    export(_request(valid[-1].decode()), timeout=HANG_SECONDS, metadata=metadata)
            try:
                poll_until("the valid spans", lambda: _stored(store.requests[TRACES], valid), seconds=60)
            except CheckFailure as error:
                outcome.successes.append(f"lost: {error}")
    return outcome


def _stored(requests: list[bytes], names: list[bytes]) -> bool:
    content = b"\n".join(requests[:])
    return all(name in content for name in names)


def _request(name: str) -> bytes:
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    part.resource.attributes.add(key="service.name").value.string_value = "fuzz"
    scope = part.scope_spans.add()
    scope.scope.name = "fuzz"
    span = scope.spans.add(
        trace_id=b"\1" * 16, span_id=b"\2" * 8, name=name, kind=2, start_time_unix_nano=1, end_time_unix_nano=2
    )
    span.attributes.add(key="http.route").value.string_value = "/api/tasks"
    span.attributes.add(key="list").value.array_value.values.add().int_value = 7
    span.attributes.add(key="map").value.kvlist_value.values.add(key="a").value.double_value = 0.5
    event = span.events.add(name="exception", time_unix_nano=1)
    event.attributes.add(key="exception.message").value.string_value = "no mailbox"
    return bytes(request.SerializeToString())
