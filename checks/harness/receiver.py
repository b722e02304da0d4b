"""An OTLP gRPC receiver whose answers a test sets; keeps the bytes of each accepted request."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lean_tracing.otlp_exporter import LOGS, TRACES

Behaviour = Callable[[grpc.ServicerContext], bytes]


def accept(_context: grpc.ServicerContext) -> bytes:
    """Takes everything."""
    return b""


def refuse(code: grpc.StatusCode) -> Behaviour:
    """Answers with an error."""

    def behave(context: grpc.ServicerContext) -> bytes:
        context.abort(code, f"the test makes it answer {code.name}")
        raise AssertionError("abort raises")

    return behave


def exhausted(retry_after: float | None) -> Behaviour:
    """Has no room: for good, or for a time that the answer names."""

    def behave(context: grpc.ServicerContext) -> bytes:
        if retry_after is not None:
            info = RetryInfo()
            info.retry_delay.FromNanoseconds(int(retry_after * 1e9))
            status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
            status.details.add().Pack(info)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        return refuse(grpc.StatusCode.RESOURCE_EXHAUSTED)(context)

    return behave


def reply(answer: bytes) -> Behaviour:
    """Takes everything, with this answer."""
    return lambda _context: answer


def reject(count: int) -> Behaviour:
    """Takes the request, apart from some of its spans."""

    def behave(_context: grpc.ServicerContext) -> bytes:
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = count
        answer.partial_success.error_message = "rejects by order of the test"
        return bytes(answer.SerializeToString())

    return behave


def spans_of(request: bytes) -> list[Span]:
    """The spans of one export request."""
    parts = ExportTraceServiceRequest.FromString(request).resource_spans
    return [span for part in parts for scope in part.scope_spans for span in scope.spans]


class Receiver:
    """`behave` may be replaced at any time; what was accepted is in `requests`, by method."""

    def __init__(self, *, largest: int = 4 << 20) -> None:
        """largest: size of the largest request that it accepts, in bytes; by default gRPC's own limit."""
        self._largest = largest
        self.behave: Behaviour = accept
        self.inspect: Callable[[bytes, grpc.ServicerContext], object] = lambda _request, _context: None
        """Is asked before `behave`, and may end the request as well."""
        self.requests: dict[str, list[bytes]] = {TRACES: [], LOGS: []}
        self.metadata: list[dict[str, str]] = []
        self.keep: Callable[[str, bytes], None] = lambda method, request: self.requests[method].append(request)
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
        options = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", self._largest))
        server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
        for method in (TRACES, LOGS):
            service, _, name = method[1:].partition("/")
            handler = grpc.unary_unary_rpc_method_handler(self._answer(method))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
        address = f"127.0.0.1:{self.port}"  # of `localhost`, another server could have one of the two addresses
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
            self.inspect(request, context)
            response = self.behave(context)
            with self._lock:
                self.keep(method, request)
            return response

        return answer

    def spans(self) -> list[Span]:
        """All accepted spans, in the order in which they came."""
        return [span for request in list(self.requests[TRACES]) for span in spans_of(request)]  # fmt: skip

    def log_requests(self) -> list[ExportLogsServiceRequest]:
        """All accepted requests with logs."""
        return [ExportLogsServiceRequest.FromString(request) for request in list(self.requests[LOGS])]


@contextmanager
def receiving(*, largest: int = 4 << 20) -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver(largest=largest)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
