"""Which traces are certain to be stored: an exemplar of a trace that the samplers drop would lead nowhere."""

from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext

KEPT: Final = ("keep", "1")
"""Entry of `tracestate` that the samplers' policy `checks` matches."""


@dataclass(frozen=True)
class StoredTraces:
    """The samplers' policies whose result a service can predict. By default every sampled trace is stored."""

    ratio: float = 1.0
    """Share of the traces that the policy `ratio` keeps."""
    slow_ms: int | None = None
    """Duration from which the policy `slow` keeps a trace; None without that policy."""

    def has(self, context: SpanContext, seconds: float = 0.0) -> bool:
        """Whether a trace with an operation of this duration is certain to be stored.

        False is no certainty: a trace with a later failure may be stored as well.
        """
        if not context.trace_flags.sampled:
            return False
        if self.ratio >= 1 or (self.slow_ms is not None and seconds * 1000 >= self.slow_ms + 1):
            return True
        key, value = KEPT
        return context.trace_state.get(key) == value or self._in_ratio(context.trace_id)

    def exemplar(self, seconds: float = 0.0, span: Span | None = None) -> dict[str, str] | None:
        """The exemplar of a measurement: the ids of `span`, by default the current one; None if it may be dropped."""
        context = (span or trace.get_current_span()).get_span_context()
        if not self.has(context, seconds):
            return None
        return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}

    def _in_ratio(self, trace_id: int) -> bool:
        return _fnv1a(trace_id.to_bytes(16, "big"), _SALTED_HASH) <= int(self.ratio * (2**64 - 1))


def _fnv1a(data: bytes, value: int = 0xCBF29CE484222325) -> int:
    """The 64-bit FNV-1a hash, continued from `value`."""
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


# The Collector's policy `probabilistic` hashes this salt and the trace id.
_SALTED_HASH: Final = _fnv1a(b"default-hash-seed")
