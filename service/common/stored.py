"""Which traces are surely stored where a stack samples them: an example that leads nowhere helps nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext

KEPT: Final = ("keep", "1")
"""Entry of a `tracestate` that the samplers' policy `checks` looks for."""


@dataclass(frozen=True)
class StoredTraces:
    """The samplers' policies, as far as a service can tell their outcome. By default every sampled trace is stored."""

    ratio: float = 1.0
    """Share of the traces that the policy `ratio` keeps."""
    slow_ms: int | None = None
    """Duration from which on the policy `slow` keeps a trace; None without that policy."""

    def has(self, context: SpanContext, seconds: float = 0.0) -> bool:
        """Whether a trace with an operation that took so long is surely stored; one that fails later may be as well."""
        if not context.trace_flags.sampled:
            return False
        if self.ratio >= 1 or (self.slow_ms is not None and seconds * 1000 >= self.slow_ms + 1):
            return True
        key, value = KEPT
        return context.trace_state.get(key) == value or self._in_ratio(context.trace_id)

    def exemplar(self, seconds: float = 0.0, span: Span | None = None) -> dict[str, str] | None:
        """What leads from a measurement to its trace: the ids of `span` (the current one when None); see `has`."""
        context = (span or trace.get_current_span()).get_span_context()
        if not self.has(context, seconds):
            return None
        return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}

    def _in_ratio(self, trace_id: int) -> bool:
        return _fnv(trace_id.to_bytes(16, "big"), _SALTED) <= int(self.ratio * (2**64 - 1))


def _fnv(data: bytes, value: int = 0xCBF29CE484222325) -> int:
    """FNV-1a with 64 bits."""
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


# The Collector's policy `probabilistic` decides by the hash of this salt and the trace id.
_SALTED: Final = _fnv(b"default-hash-seed")
