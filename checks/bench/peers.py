"""A process with the peers of the measured processes: a receiver (OTLP, Datadog's protocol) and mock Kafka brokers.

It prints its addresses as one line of JSON. It answers every line on stdin with the received spans by service: their
number, and two sums over those that all variants make alike: over all that they hold, and over what the scenario gave.
"""

import json
import os
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Mapping
from concurrent import futures
from typing import Any

import grpc
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from checks.bench.alternatives import datadog_format
from checks.bench.instrumentation import ALIKE, GIVEN, Transport
from checks.harness.http_receiver import serve_http
from stack.polling import poll_until


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts and acknowledges spans."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._contents: Counter[str] = Counter()
        self._values: Counter[str] = Counter()
        self._lock = threading.Lock()

    def Export(self, request: Any, _context: Any) -> Any:  # gRPC gives the method's name
        """Receive one batch of spans."""
        for resource in request.resource_spans:
            service = next(
                item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
            )
            spans = [span for scope in resource.scope_spans for span in scope.spans]
            alike = [span for span in spans if span.name == ALIKE]
            self._add(service, spans=len(spans), contents=sum(map(_content, alike)), values=sum(map(_value, alike)))
        return trace_service_pb2.ExportTraceServiceResponse()

    def take_datadog(self, body: bytes) -> bytes:
        """Receive one batch of spans in the format of Datadog's agent, and answer as it does."""
        for span in datadog_format.spans(body):
            given_values = {key: value for key, value in span.attributes.items() if key in GIVEN}
            self._add(span.service, spans=1, contents=0, values=_sum(given_values) if span.name == ALIKE else 0)
        return b'{"rate_by_service": {}}'

    def _add(self, service: str, *, spans: int, contents: int, values: int) -> None:
        with self._lock:
            self._counts[service] += spans
            self._contents[service] += contents
            self._values[service] += values

    def received(self) -> dict[str, tuple[int, int, int]]:
        """Return the number of spans, the sum over their contents and that over given values, by service name."""
        with self._lock:
            return {
                service: (count, self._contents[service], self._values[service])
                for service, count in self._counts.items()
            }


def _content(span: Any) -> int:
    """A number that spans with the same attributes have in common; the order of the attributes does not count."""
    return zlib.crc32(b"".join(sorted(item.SerializeToString(deterministic=True) for item in span.attributes)))


def _value(span: Any) -> int:
    """A number that spans with the same given attributes have in common; their other attributes do not count."""
    return _sum({item.key: _plain(item.value) for item in span.attributes if item.key in GIVEN})


def _sum(given_values: Mapping[str, str | float]) -> int:
    return zlib.crc32(repr(sorted(given_values.items())).encode())


def _plain(value: Any) -> str | float:
    """A text or a number without its type: ddtrace sends 1.0 as 1 over OTLP, and 1 as 1.0 in Datadog's format."""
    kind = value.WhichOneof("value")
    return str(value.string_value) if kind == "string_value" else float(getattr(value, kind))


def main() -> None:
    """Serve until stdin ends."""
    receiver = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    owner = Producer({"bootstrap.servers": "replaced:9092", "test.mock.num.brokers": 1, "log_level": 3})

    def brokers() -> str:
        return ",".join(f"{broker.host}:{broker.port}" for broker in owner.list_topics(timeout=1).brokers.values())

    def take(body: bytes) -> bytes:
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        return bytes(receiver.Export(request, None).SerializeToString())

    urls: dict[Transport, str] = {
        "grpc": f"http://127.0.0.1:{port}",
        "http": f"http://127.0.0.1:{serve_http(take).server_port}",
        "datadog": f"http://127.0.0.1:{serve_http(receiver.take_datadog, 'application/json').server_port}",
    }
    print(json.dumps({**urls, "kafka": poll_until("mock broker", brokers)}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(receiver.received()), flush=True)
    # Stopping the mock cluster while clients are connected would only log errors.
    os._exit(0)


if __name__ == "__main__":
    main()
