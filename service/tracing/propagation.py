"""W3C trace context, baggage and a correlation id: out of and into HTTP and Kafka headers, and across threads.

Nothing here raises on what a peer sent: an absent or malformed context is simply no context, and a new trace begins.
Nor is what a peer sent written to a log. Parsing is our own: a third of the cost of the SDK's propagators, which also
quote what they refuse in warnings.
"""

from __future__ import annotations

import functools
import inspect
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Final, ParamSpec, TypeVar, cast
from urllib.parse import quote, unquote

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

P = ParamSpec("P")
R = TypeVar("R")

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"
CORRELATION_HEADER: Final = "x-correlation-id"
PROPAGATED: Final = frozenset({TRACEPARENT, TRACESTATE, BAGGAGE, CORRELATION_HEADER})

KafkaHeader = tuple[str, str | bytes | None]

_HTTP_NAMES = {name.encode(): name for name in PROPAGATED}
_TRACEPARENT_NAME = TRACEPARENT.encode()
# Most headers are not ours; their length tells, before anything is made of their name.
_LENGTHS = frozenset(len(name) for name in PROPAGATED)
_TRACEPARENT = re.compile(r" *([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)? *")
_PLAIN = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_STATE_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_STATE_MEMBER = re.compile(rf"({_STATE_KEY})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e])")
_BAGGAGE_KEY = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BAGGAGE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
# Goes into logs and headers as it came, so only harmless characters pass.
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

# What W3C obliges everyone to carry is also the most that is carried here.
_STATE_MEMBERS, _STATE_LENGTH = 32, 512
_BAGGAGE_MEMBERS, _BAGGAGE_LENGTH = 64, 8192

_CORRELATION_KEY = otel_context.create_key("correlation-id")
_NOTHING = Context()
_NO_STATE = TraceState()
_FLAGS = tuple(TraceFlags(flags) for flags in range(256))


class Propagator:
    """Carries contexts in headers, in the formats it was given; the correlation id always goes along."""

    __slots__ = ("_baggage", "_trace_context")

    def __init__(self, formats: Collection[str] = ("tracecontext", "baggage")) -> None:
        """formats: of `tracecontext` and `baggage`, as in OTEL_PROPAGATORS."""
        self._trace_context = "tracecontext" in formats
        self._baggage = "baggage" in formats

    def from_http(self, headers: Iterable[tuple[bytes, bytes]]) -> Context:
        """The caller's context out of raw ASGI headers.

        A header sent twice is combined with a comma (RFC 9110), which makes a doubled traceparent invalid, as W3C
        demands, and a list of a tracestate or baggage sent in parts.
        """
        ours = [header for header in headers if len(header[0]) in _LENGTHS and header[0].lower() in _HTTP_NAMES]
        if not ours:
            return _NOTHING
        # What nearly every request has: a traceparent alone, in the one form that is in use.
        if len(ours) == 1 and self._trace_context and (match := _PLAIN.fullmatch(ours[0][1])) is not None:
            trace_number, span_number = int(match[1], 16), int(match[2], 16)
            if trace_number and span_number and ours[0][0].lower() == _TRACEPARENT_NAME:
                return _remote(_NOTHING, trace_number, span_number, _FLAGS[int(match[3], 16)], _NO_STATE)
        found: dict[str, str] = {}
        for raw, value in ours:
            name = _HTTP_NAMES[raw.lower()]
            if (text := _text(value)) is not None:
                found[name] = f"{found[name]},{text}" if name in found else text
        return self._context({name: (text,) for name, text in found.items()}) if found else _NOTHING

    def from_kafka(self, headers: Iterable[KafkaHeader] | None) -> Context:
        """The producer's context out of a message's headers, whose names may be in any case.

        Of a repeated header the last one that is valid counts: who forwards or redelivers a message appends, so the
        last is the nearest hop, and a broken one appended later must not cut a trace that an earlier one carries on.
        """
        found: dict[str, list[str]] = {}
        for raw, value in headers or ():
            if isinstance(raw, str) and len(raw) in _LENGTHS:
                name = raw.lower()
                if name in PROPAGATED and (text := _text(value)) is not None:
                    found.setdefault(name, []).append(text)
        return self._context(found) if found else _NOTHING

    def _context(self, found: Mapping[str, Sequence[str]]) -> Context:
        """found: by header, the values in question; the last valid one of each counts."""
        context = _NOTHING
        if CORRELATION_HEADER in found:
            correlations = [text.strip() for text in found[CORRELATION_HEADER]]
            if correlation := _last(_CORRELATION_ID.fullmatch, correlations):
                context = with_correlation_id(context, correlation.group())
        if self._baggage and BAGGAGE in found and (items := _last(_baggage_items, found[BAGGAGE])):
            for name, value in items.items():
                context = baggage.set_baggage(name, value, context)
        if self._trace_context and TRACEPARENT in found and (parent := _last(_parent, found[TRACEPARENT])):
            state = (_last(_trace_state, found[TRACESTATE]) if TRACESTATE in found else None) or _NO_STATE
            context = _remote(context, *parent, state)
        return context

    def inject(self, context: Context | None = None, *, trusted: bool = True) -> dict[str, str]:
        """Headers that carry `context` (the current one when None).

        trusted: False leaves out all but the trace's ids, for peers outside the system; baggage is not theirs to read.
        """
        if context is None:
            context = otel_context.get_current()
        headers: dict[str, str] = {}
        if self._trace_context:
            span_context = trace.get_current_span(context).get_span_context()
            if span_context.is_valid:
                headers[TRACEPARENT] = traceparent(span_context)
                if trusted and span_context.trace_state:
                    headers[TRACESTATE] = span_context.trace_state.to_header()
        if trusted:
            if self._baggage and (items := baggage.get_all(context)) and (text := _baggage_header(items)):
                headers[BAGGAGE] = text
            if correlation := correlation_id(context):
                headers[CORRELATION_HEADER] = correlation
        return headers

    def to_kafka(self, headers: Iterable[KafkaHeader] | None, context: Context | None = None) -> list[KafkaHeader]:
        """`headers` with `context` added; an older context among them is replaced, never doubled."""
        kept: list[KafkaHeader] = [(name, value) for name, value in headers or () if name.lower() not in PROPAGATED]
        kept.extend((name, value.encode("ascii", "ignore")) for name, value in self.inject(context).items())
        return kept


_EVERYTHING = Propagator()
from_http = _EVERYTHING.from_http
from_kafka = _EVERYTHING.from_kafka
inject = _EVERYTHING.inject
to_kafka = _EVERYTHING.to_kafka


def _text(value: object) -> str | None:
    """A header's value; None where it holds control characters or anything but ASCII, or is too long to look at."""
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


def _remote(context: Context, trace_number: int, span_number: int, flags: TraceFlags, state: TraceState) -> Context:
    span_context = SpanContext(trace_number, span_number, True, flags, state)
    return trace.set_span_in_context(NonRecordingSpan(span_context), context)


def _last(parse: Callable[[str], R | None], texts: Sequence[str]) -> R | None:
    """What `parse` makes of the last text it accepts."""
    for text in reversed(texts):
        if (parsed := parse(text)) is not None:
            return parsed
    return None


def _parent(text: str) -> tuple[int, int, TraceFlags] | None:
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_hex, span_hex, flags, more = match.groups()
    # A later version may say more; what it says first is laid down for good.
    if version == "ff" or (version == "00" and more is not None):
        return None
    trace_number, span_number = int(trace_hex, 16), int(span_hex, 16)
    if not trace_number or not span_number:
        return None
    return trace_number, span_number, _FLAGS[int(flags, 16)]


def _trace_state(text: str) -> TraceState | None:
    """None where any part is malformed, doubled or beyond the limits: W3C has the whole of it dropped then."""
    if len(text) > _STATE_LENGTH:
        return None
    members: dict[str, str] = {}
    for part in text.split(","):
        if not (part := part.strip(" ")):
            continue
        match = _STATE_MEMBER.fullmatch(part)
        if match is None or match.group(1) in members:
            return None
        members[match.group(1)] = match.group(2)
    return TraceState(list(members.items())) if 0 < len(members) <= _STATE_MEMBERS else None


def _baggage_items(text: str) -> dict[str, str] | None:
    """Malformed members are left out, and so are those past the limit and the properties of a member."""
    if len(text) > _BAGGAGE_LENGTH:
        return None
    items: dict[str, str] = {}
    for member in text.split(",", _BAGGAGE_MEMBERS)[:_BAGGAGE_MEMBERS]:
        name, separator, rest = member.partition("=")
        name, value = name.strip(" "), rest.partition(";")[0].strip(" ")
        if separator and _BAGGAGE_KEY.fullmatch(name) and _BAGGAGE_VALUE.fullmatch(value):
            items[name] = unquote(value)
    return items or None


def _baggage_header(items: Any) -> str:
    members: list[str] = []
    length = -1
    for name, value in items.items():
        if not _BAGGAGE_KEY.fullmatch(name):
            continue
        member = f"{name}={quote(str(value), safe='', errors='replace')}"
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
    value = otel_context.get_value(_CORRELATION_KEY, context)
    return value if isinstance(value, str) else None


def with_correlation_id(context: Context, value: str) -> Context:
    """`context` with this correlation id."""
    return otel_context.set_value(_CORRELATION_KEY, value, context)


def ensure_correlation_id(context: Context) -> Context:
    """`context` with a correlation id: its own, else its trace id (one id to search by), else a new one."""
    if correlation_id(context):
        return context
    return with_correlation_id(context, trace_id(context) or uuid.uuid4().hex)


def trace_id(context: Context | None = None) -> str | None:
    """32 hex digits of the trace in `context` (the current one when None), or None outside of any trace."""
    span_context = trace.get_current_span(context).get_span_context()
    return trace.format_trace_id(span_context.trace_id) if span_context.is_valid else None


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, or coroutine function, that runs in the context of this moment, wherever and whenever it is called.

    Tasks of asyncio and `asyncio.to_thread` carry the context by themselves; threads and executors do not.
    """
    context = otel_context.get_current()

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            token = otel_context.attach(context)
            try:
                return await function(*args, **kwargs)
            finally:
                otel_context.detach(token)

        return cast(Callable[P, R], call_async)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        token = otel_context.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return call


class ContextExecutor(Executor):
    """An executor of threads whose work runs in the context of who submitted it; also for `loop.run_in_executor`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As `Executor.submit`; `map` comes through here as well."""
        return self._executor.submit(carry(function), *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `Executor.shutdown`."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)
