"""A process with the peers of the measured processes: an OTLP receiver (gRPC, HTTP) and mock Kafka brokers.

It prints its addresses as one line of JSON. It answers every line on stdin with the received spans by service: their
number, and two sums over those that all variants make alike: over all that they hold, and over what the scenario gave.
"""

import json
import os
import sys
import threading
import zlib
from collections import Counter
from concurrent import futures
from typing import Any

import grpc
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from checks.bench.instrumentation import ALIKE, GIVEN
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
            contents, values = sum(map(_content, alike)), sum(map(_value, alike))
            with self._lock:
                self._counts[service] += len(spans)
                self._contents[service] += contents
                self._values[service] += values
        return trace_service_pb2.ExportTraceServiceResponse()

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
    """A number that spans with the same given attributes have in common; their other attributes do not count.

    1 and 1.0 are the same: ddtrace sends 1.0 as an integer.
    """
    pairs = (item for item in span.attributes if item.key in GIVEN)
    return zlib.crc32(repr(sorted((item.key, _plain(item.value)) for item in pairs)).encode())


def _plain(value: Any) -> str | float:
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

    http = serve_http(take)
    urls = {"grpc": f"http://127.0.0.1:{port}", "http": f"http://127.0.0.1:{http.server_port}"}
    print(json.dumps({**urls, "kafka": poll_until("mock broker", brokers)}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(receiver.received()), flush=True)
    # Stopping the mock cluster while clients are connected would only log errors.
    os._exit(0)


if __name__ == "__main__":
    main()
