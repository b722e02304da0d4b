"""An OTLP gRPC receiver whose answers a test decides; keeps the requests as the bytes that came."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service.tracing.sender import LOGS, TRACES

Behaviour = Callable[[grpc.ServicerContext], bytes]


def accept(_context: grpc.ServicerContext) -> bytes:
    """Takes everything."""
    return b""


def refuse(code: grpc.StatusCode) -> Behaviour:
    """Answers with an error."""

    def behave(context: grpc.ServicerContext) -> bytes:
        context.abort(code, f"told to answer {code.name}")
        raise AssertionError("abort raises")

    return behave


def reject(count: int) -> Behaviour:
    """Takes the request, apart from some of its spans."""

    def behave(_context: grpc.ServicerContext) -> bytes:
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = count
        answer.partial_success.error_message = "told to reject"
        return bytes(answer.SerializeToString())

    return behave


class Receiver:
    """`behave` may be replaced at any time; what was accepted is in `requests`, by method."""

    def __init__(self) -> None:
        self.behave: Behaviour = accept
        self.requests: dict[str, list[bytes]] = {TRACES: [], LOGS: []}
        self.metadata: list[dict[str, str]] = []
        self.asked = 0
        self.port = 0
        self._server: grpc.Server | None = None
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """Its URL; the port stays the same over `stop` and `start`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        """Begins to listen."""
        server = grpc.server(futures.ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        for method in (TRACES, LOGS):
            service, _, name = method[1:].partition("/")
            handler = grpc.unary_unary_rpc_method_handler(self._answer(method))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
        address = f"localhost:{self.port}" if credentials else f"127.0.0.1:{self.port}"
        self.port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        self._server = server

    def stop(self) -> None:
        """Ends, and refuses connections from now on."""
        if self._server is not None:
            self._server.stop(0).wait(5)
            self._server = None

    def _answer(self, method: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            with self._lock:
                self.asked += 1
                self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
            response = self.behave(context)
            with self._lock:
                self.requests[method].append(request)
            return response

        return answer

    def spans(self) -> list[Span]:
        """All accepted spans, in the order in which they came."""
        parsed = [ExportTraceServiceRequest.FromString(request) for request in list(self.requests[TRACES])]
        return [
            span for request in parsed for part in request.resource_spans for scope in part.scope_spans
            for span in scope.spans
        ]  # fmt: skip

    def log_requests(self) -> list[ExportLogsServiceRequest]:
        """All accepted requests with logs."""
        return [ExportLogsServiceRequest.FromString(request) for request in list(self.requests[LOGS])]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
