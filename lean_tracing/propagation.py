"""Reads W3C trace context, baggage and a correlation id from HTTP and Kafka headers, and writes them.

A header of a peer never raises an exception here: an absent or malformed context is no context, and a new trace begins.
Nothing of a peer's header is logged. The SDK's propagators cost three times as much, and quote what they refuse in
warnings.

What a peer sends goes on to the next hop, so nothing is read that holds, or may well hold, a secret or personal data:
no entry of baggage that is not allowed by name, no trace state and no correlation id in which the redactor finds one.
"""

import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Final, TypeVar
from urllib.parse import quote, unquote

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, TraceFlags, TraceState

from lean_tracing import tracestate
from lean_tracing.current import SPAN_KEY, current_span, get_current, with_span
from lean_tracing.redaction import Redactor
from lean_tracing.span import FLAGS, NO_STATE

R = TypeVar("R")

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"
CORRELATION_HEADER: Final = "x-correlation-id"
PROPAGATED: Final = frozenset({TRACEPARENT, TRACESTATE, BAGGAGE, CORRELATION_HEADER})

KafkaHeader = tuple[str, str | bytes | None]
HttpHeader = tuple[bytes, bytes]

_HTTP_NAMES = {name.encode(): name for name in PROPAGATED}
_TRACEPARENT_NAME, _CORRELATION_NAME = TRACEPARENT.encode(), CORRELATION_HEADER.encode()
# Most headers are others. Their length shows that before their name is decoded.
_LENGTHS = frozenset(len(name) for name in PROPAGATED)
_TRACEPARENT = re.compile(r" *([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)? *")
_PLAIN = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_BAGGAGE_KEY = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BAGGAGE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
# It is written to logs and headers unchanged: UUIDs and other hex digits, or short names. Addresses, URLs, pairs and
# encoded credentials have other characters.
_CORRELATION_ID = re.compile(r"[0-9A-Fa-f-]{1,64}|[A-Za-z0-9._-]{1,36}")

# W3C obliges every system to carry at least this much. No more is carried here.
_BAGGAGE_MEMBERS, _BAGGAGE_LENGTH = 64, 8192

CORRELATION_KEY: Final = otel_context.create_key("correlation-id")
_NOTHING = Context()


class Propagator:
    """Carries contexts in headers, in chosen formats, and always the correlation id."""

    __slots__ = ("_entries", "_native", "_redactor", "_trace_context")

    def __init__(
        self,
        formats: Collection[str] = ("tracecontext", "baggage"),
        redactor: Redactor | None = None,
        baggage_entries: Collection[str] = (),
        native: ModuleType | None = None,
    ) -> None:
        """Creates a propagator.

        Args:
            formats: `tracecontext` and `baggage`, or one of them.
            redactor: of the values of baggage.
            baggage_entries: the names of the entries of baggage that are read and written. All others are left out.
            native: the native part.
        """
        self._native = native
        self._trace_context = "tracecontext" in formats
        self._entries = frozenset(baggage_entries) if "baggage" in formats else frozenset()
        self._redactor = redactor or Redactor()

    def from_http(self, headers: Iterable[tuple[bytes, bytes]]) -> Context:
        """The caller's context in raw ASGI headers.

        A header sent twice is combined with a comma (RFC 9110), which makes a doubled traceparent invalid, as W3C
        demands, and a list of a tracestate or baggage sent in parts.
        """
        if self._native is not None and self._trace_context:
            plain: Context | None = self._native.from_http(headers)
            if plain is not None:
                return plain
        carriers = [header for header in headers if len(header[0]) in _LENGTHS and header[0].lower() in _HTTP_NAMES]
        if not carriers:
            return _NOTHING
        if len(carriers) == 1 and self._trace_context and carriers[0][0].lower() == _TRACEPARENT_NAME:
            context = _plain_parent(carriers[0][1])
            if context is not None:
                return context
        combined: dict[str, str] = {}
        for raw, value in carriers:
            name = _HTTP_NAMES[raw.lower()]
            if (text := _text(value)) is not None:
                combined[name] = f"{combined[name]},{text}" if name in combined else text
        return self._context({name: (text,) for name, text in combined.items()}) if combined else _NOTHING

    def from_kafka(self, headers: Iterable[KafkaHeader] | None) -> Context:
        """The producer's context in a message's headers, whose names may be in any case.

        Of a repeated header the last valid one counts. A program that forwards or redelivers a message appends its own,
        so the last one is the nearest hop; a broken one at the end must not cut the trace of an earlier one.
        """
        if self._native is not None and self._trace_context:
            plain: Context | None = self._native.from_kafka(headers)
            if plain is not None:
                return plain
        carriers = [
            (raw.lower(), value)
            for raw, value in headers or ()
            if isinstance(raw, str) and len(raw) in _LENGTHS and raw.lower() in PROPAGATED
        ]
        if len(carriers) == 1 and self._trace_context and carriers[0][0] == TRACEPARENT:
            context = _plain_parent(carriers[0][1])
            if context is not None:
                return context
        candidates: dict[str, list[str]] = {}
        for name, value in carriers:
            if (text := _text(value)) is not None:
                candidates.setdefault(name, []).append(text)
        return self._context(candidates) if candidates else _NOTHING

    def producer_in(self, headers: Iterable[KafkaHeader] | None) -> tuple[Context, tuple[Link, ...]]:
        """The same context, and a link to the span that created the message; none without such a span."""
        if self._native is not None and self._trace_context:
            plain: tuple[Context, tuple[Link, ...]] | None = self._native.producer_in(headers)
            if plain is not None:
                return plain
        context = self.from_kafka(headers)
        creation = current_span(context).get_span_context()
        return context, (Link(creation),) if creation.is_valid else ()

    def _context(self, candidates: Mapping[str, Sequence[str]]) -> Context:
        """The context of the last valid value of each header."""
        context = _NOTHING
        correlations = candidates.get(CORRELATION_HEADER, ())
        if correlation := _last(self._correlation_id, correlations):
            context = with_correlation_id(context, correlation)
        if self._entries and BAGGAGE in candidates and (items := _last(_baggage_items, candidates[BAGGAGE])):
            for name, value in items.items():
                if name in self._entries:
                    context = baggage.set_baggage(name, value, context)
        if self._trace_context and TRACEPARENT in candidates and (parent := _last(_parent, candidates[TRACEPARENT])):
            state = (_last(self._state, candidates[TRACESTATE]) if TRACESTATE in candidates else None) or NO_STATE
            context = _remote(context, *parent, state)
        return context

    def _correlation_id(self, text: str) -> str | None:
        text = text.strip()
        return text if _CORRELATION_ID.fullmatch(text) and self._redactor.text(text) == text else None

    def _state(self, text: str) -> TraceState | None:
        return tracestate.parse(text) if self._redactor.text(unquote(text)) == unquote(text) else None

    def _carried_baggage(self, context: Context) -> str:
        items = baggage.get_all(context)
        return _baggage_header({name: self._redactor.text(str(items[name])) for name in items if name in self._entries})

    def inject(
        self, context: Context | None = None, span: Span | None = None, *, trusted: bool = True
    ) -> dict[str, str]:
        """Headers that carry a context.

        Args:
            context: None takes the current one.
            span: takes the place of the one in the context.
            trusted: False is for peers outside the system. They get only the ids of the trace, and no baggage.
        """
        if context is None:
            context = get_current()
        headers: dict[str, str] = {}
        if self._trace_context:
            span_context = (span or current_span(context)).get_span_context()
            if span_context.is_valid:
                headers[TRACEPARENT] = self.traceparent(span_context)
                if trusted and span_context.trace_state:
                    headers[TRACESTATE] = span_context.trace_state.to_header()
        if trusted:
            if self._entries and (carried := self._carried_baggage(context)):
                headers[BAGGAGE] = carried
            if correlation := correlation_id(context):
                headers[CORRELATION_HEADER] = correlation
        return headers

    def answer(self, context: Context, span: Span) -> tuple[Context, list[HttpHeader]]:
        """The context in which a request is handled, and the headers of its response, which name both of its ids.

        The correlation id is the caller's, else the trace id (then one id finds both), else a new one.

        Args:
            context: that of the caller.
            span: that of the request.
        """
        if self._native is not None:
            made: tuple[Context, list[HttpHeader]] | None = self._native.answer(context, span)
            if made is not None:
                return made
        span_context = span.get_span_context()
        parent = self.traceparent(span_context) if span_context.is_valid else ""
        correlation = correlation_id(context) or parent[3:35] or uuid.uuid4().hex
        headers = [(_CORRELATION_NAME, correlation.encode())]
        if parent:
            headers.append((_TRACEPARENT_NAME, parent.encode()))
        return Context({**context, SPAN_KEY: span, CORRELATION_KEY: correlation}), headers

    def traceparent(self, span_context: SpanContext) -> str:
        """The header's value for a valid `span_context`."""
        written: str | None = None if self._native is None else self._native.traceparent(span_context)
        return traceparent(span_context) if written is None else written

    def to_kafka(
        self, headers: Iterable[KafkaHeader] | None, context: Context | None = None, span: Span | None = None
    ) -> list[KafkaHeader]:
        """`headers` with the context added, as `inject` makes it; it replaces an older one among them."""
        if self._native is not None and self._trace_context and not self._entries:
            written: list[KafkaHeader] | None = self._native.to_kafka(headers, context, span)
            if written is not None:
                return written
        carried: list[KafkaHeader] = [(name, value) for name, value in headers or () if name.lower() not in PROPAGATED]
        carried += [(name, value.encode("ascii", "ignore")) for name, value in self.inject(context, span).items()]
        return carried


def _text(value: object) -> str | None:
    """A header's value; None if it holds control characters or anything but ASCII, or is too long."""
    if isinstance(value, bytes):
        if len(value) > _BAGGAGE_LENGTH or not value.isascii():
            return None
        value = value.decode("ascii")
    elif not isinstance(value, str) or len(value) > _BAGGAGE_LENGTH or not value.isascii():
        return None
    if value.isprintable():
        return value
    value = value.replace("\t", " ")
    return value if value.isprintable() else None


def _plain_parent(value: object) -> Context | None:
    """The context of a traceparent in the form that is in use; nearly every peer sends it, and nothing else."""
    if not isinstance(value, bytes) or (match := _PLAIN.fullmatch(value)) is None:
        return None
    trace_number, span_number = int(match[1], 16), int(match[2], 16)
    if not trace_number or not span_number:
        return None
    return _remote(_NOTHING, trace_number, span_number, FLAGS[int(match[3], 16)], NO_STATE)


def _remote(context: Context, trace_number: int, span_number: int, flags: TraceFlags, state: TraceState) -> Context:
    span_context = SpanContext(trace_number, span_number, True, flags, state)
    return with_span(NonRecordingSpan(span_context), context)


def _last(parse: Callable[[str], R | None], texts: Sequence[str]) -> R | None:
    """The last text that `parse` accepts, parsed."""
    for text in reversed(texts):
        if (parsed := parse(text)) is not None:
            return parsed
    return None


def _parent(text: str) -> tuple[int, int, TraceFlags] | None:
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_hex, span_hex, flags, rest = match.groups()
    # A later version may have further fields; the first ones are fixed for all versions.
    if version == "ff" or (version == "00" and rest is not None):
        return None
    trace_number, span_number = int(trace_hex, 16), int(span_hex, 16)
    if not trace_number or not span_number:
        return None
    return trace_number, span_number, FLAGS[int(flags, 16)]


def _baggage_items(text: str) -> dict[str, str] | None:
    """Leaves out malformed members, those past the limit, and the properties of a member."""
    if len(text) > _BAGGAGE_LENGTH:
        return None
    items: dict[str, str] = {}
    for member in text.split(",", _BAGGAGE_MEMBERS)[:_BAGGAGE_MEMBERS]:
        name, separator, rest = member.partition("=")
        name, value = name.strip(" "), rest.partition(";")[0].strip(" ")
        if separator and _BAGGAGE_KEY.fullmatch(name) and _BAGGAGE_VALUE.fullmatch(value):
            items[name] = unquote(value)
    return items or None


def _baggage_header(items: Mapping[str, str]) -> str:
    members: list[str] = []
    length = -1
    for name, value in items.items():
        if not _BAGGAGE_KEY.fullmatch(name):
            continue
        member = f"{name}={quote(value, safe='', errors='replace')}"
        if length + 1 + len(member) > _BAGGAGE_LENGTH or len(members) == _BAGGAGE_MEMBERS:
            break
        length += 1 + len(member)
        members.append(member)
    return ",".join(members)


def traceparent(span_context: SpanContext) -> str:
    """The header's value for a valid `span_context`."""
    return f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-{span_context.trace_flags:02x}"


def correlation_id(context: Context | None = None) -> str | None:
    """The correlation id of `context` (the current one when None)."""
    value = (get_current() if context is None else context).get(CORRELATION_KEY)
    return value if isinstance(value, str) else None


def with_correlation_id(context: Context, value: str) -> Context:
    """`context` with this correlation id."""
    return otel_context.set_value(CORRELATION_KEY, value, context)


def ensure_correlation_id(context: Context) -> Context:
    """`context` with a correlation id: its own, else its trace id (then one id finds both), else a new one."""
    if correlation_id(context):
        return context
    return with_correlation_id(context, trace_id(context) or uuid.uuid4().hex)


def trace_id(context: Context | None = None) -> str | None:
    """32 hex digits of the trace in `context` (the current one when None); None outside of any trace."""
    span_context = trace.get_current_span(context).get_span_context()
    return trace.format_trace_id(span_context.trace_id) if span_context.is_valid else None
