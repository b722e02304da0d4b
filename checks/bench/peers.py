"""A process with the peers of the measured processes: an OTLP gRPC receiver and mock Kafka brokers.

It prints its addresses as one line of JSON. It answers every line on stdin with the number of received spans
by service.
"""

import json
import os
import sys
import threading
from collections import Counter
from concurrent import futures
from typing import Any

import grpc
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from stack.polling import poll_until


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Counts and acknowledges spans."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def Export(self, request: Any, _context: Any) -> Any:  # gRPC gives the method's name
        """Receive one batch of spans."""
        for resource in request.resource_spans:
            service = next(
                item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
            )
            spans = sum(len(scope.spans) for scope in resource.scope_spans)
            with self._lock:
                self._counts[service] += spans
        return trace_service_pb2.ExportTraceServiceResponse()

    def counts(self) -> dict[str, int]:
        """Return the number of spans by service name."""
        with self._lock:
            return dict(self._counts)


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

    print(json.dumps({"otlp": f"http://127.0.0.1:{port}", "kafka": poll_until("mock broker", brokers)}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(receiver.counts()), flush=True)
    # Stopping the mock cluster while clients are connected would only log errors.
    os._exit(0)


if __name__ == "__main__":
    main()
