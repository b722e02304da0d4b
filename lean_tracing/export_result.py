"""The end of an export request, in gRPC's codes for both protocols of OTLP; and what sends one."""

from dataclasses import dataclass
from typing import Final, Protocol

# After these codes OTLP's specification allows another try; after all others the same request would fail again.
# RESOURCE_EXHAUSTED is not among them: it allows another try only if the response says when.
_RETRYABLE: Final = frozenset({"cancelled", "deadline_exceeded", "aborted", "out_of_range", "unavailable", "data_loss"})
RESOURCE_EXHAUSTED: Final = "resource_exhausted"
# Not a code of gRPC's: the client itself raised an exception, so there is no response.
EXCEPTION: Final = "exception"
# A receiver that asks for a longer wait is tried again after this.
MAX_WAIT: Final = 600.0  # seconds
# gRPC puts the reason at the end of a text that names every address.
MAX_DETAIL: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """The end of one request.

    Attributes:
        code: gRPC's, in lower case, or `exception`.
        rejected: items of an accepted request that the receiver refused.
        detail: the receiver's or gRPC's reason.
        retry_after: seconds after which the receiver asks to be tried again, if it does.
        unreadable: the request was accepted, with a response that cannot be read.
        not_grpc: the response is not a receiver's. A proxy has no route to one, or another program has its address.
    """

    code: str
    rejected: int = 0
    detail: str = ""
    retry_after: float | None = None
    unreadable: bool = False
    not_grpc: bool = False

    @property
    def ok(self) -> bool:
        """Accepted, apart from the rejected items."""
        return self.code == "ok"

    @property
    def retryable(self) -> bool:
        """Another try may succeed."""
        if self.code == RESOURCE_EXHAUSTED:
            return self.retry_after is not None
        return self.code in _RETRYABLE or self.code == EXCEPTION or self.not_grpc

    @property
    def too_large(self) -> bool:
        """The receiver will never accept the request, but it may accept a smaller one."""
        return self.code == RESOURCE_EXHAUSTED and self.retry_after is None


def result_of_response(response: bytes) -> ExportResult:
    """The result of an accepted request, from the body of its response."""
    if not response:  # nothing rejected, which is nearly always so
        return ExportResult(code="ok")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        # The response to logs has the same field numbers: partial_success 1, in it the count 1 and the reason 2.
        partial = ExportTraceServiceResponse.FromString(response).partial_success
    except Exception as error:
        # The status says that the request is accepted. Sent again, all of it would arrive twice.
        return ExportResult(code="ok", detail=f"unreadable answer: {type(error).__name__}", unreadable=True)
    return ExportResult(code="ok", rejected=partial.rejected_spans, detail=partial.error_message[:MAX_DETAIL])


class Exporter(Protocol):
    """Sends the requests of one signal to a receiver."""

    @property
    def receiver(self) -> str:
        """Its URL, without the parts that may be secret."""

    def send(self, payload: bytes, seconds: float) -> ExportResult:
        """Sends one request within a time limit. Never raises: an exception becomes a result."""

    def close(self) -> None:
        """Closes the connection for good; a request that is being sent ends as cancelled."""

    def forget(self) -> None:
        """Releases the connection without closing it: in a forked child, because it is the parent's."""
