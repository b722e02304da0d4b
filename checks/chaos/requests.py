"""Export requests whose every id follows from the run and a number, so that the ledger need not hold the ids."""

import hashlib
import time
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from contracts.topics import STATUS_TOPIC

TRACES: Final = 4
SPANS: Final = 25
A_REQUEST: Final = TRACES * SPANS
"""Spans in a request."""


@dataclass(frozen=True)
class Requests:
    """All requests of a run; `run` is any text that no other run has."""

    run: str

    def traces(self, number: int) -> dict[str, set[str]]:
        """Span ids by trace id of one request, in lower-case hex."""
        return {
            self._trace_id(number, trace).hex(): {self._span_id(number, trace, span).hex() for span in range(SPANS)}
            for trace in range(TRACES)
        }

    def encode(self, number: int) -> bytes:
        """One request as OTLP; its spans begin now."""
        now = time.time_ns()
        request = ExportTraceServiceRequest()
        part = request.resource_spans.add()
        part.resource.attributes.append(_text("service.name", "chaos"))
        spans = part.scope_spans.add().spans
        for trace in range(TRACES):
            trace_id, root = self._trace_id(number, trace), self._span_id(number, trace, 0)
            for index in range(SPANS):
                spans.append(
                    Span(
                        trace_id=trace_id,
                        span_id=self._span_id(number, trace, index),
                        parent_span_id=root if index else b"",
                        name="process chaos",
                        kind=Span.SPAN_KIND_CONSUMER,
                        start_time_unix_nano=now,
                        end_time_unix_nano=now + 1_000_000,
                        attributes=[
                            _text("messaging.system", "kafka"),
                            _text("messaging.destination.name", STATUS_TOPIC),
                            _text("task.id", f"{self.run}-{number}-{trace}"),
                            _text("task.status", "completed"),
                        ],
                    )
                )
        return bytes(request.SerializeToString())

    def _trace_id(self, number: int, trace: int) -> bytes:
        return hashlib.blake2b(f"{self.run}/{number}/{trace}".encode(), digest_size=16).digest()

    def _span_id(self, number: int, trace: int, span: int) -> bytes:
        return hashlib.blake2b(f"{self.run}/{number}/{trace}/{span}".encode(), digest_size=8).digest()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
