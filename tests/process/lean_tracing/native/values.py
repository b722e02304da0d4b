"""Values, keys and spans as an application may give them to a span, the unusual ones too."""

import enum
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from lean_tracing.redaction.shapes import SHAPES
from lean_tracing.redaction.tokens import TOKENS
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import Limits, NativeSpan, RecordedSpan
from tests.support.redaction import NAMES


class Text(str):
    """A text of a class of its own."""


class Whole(int):
    """An integer of a class of its own."""


class Colour(enum.Enum):
    RED = "red"


class Broken:
    """A value whose text cannot be read."""

    def __str__(self) -> str:
        raise ValueError("no text")


_MARKED = [text for row in SHAPES for text in (row.hit, row.miss)]
_MARKED += [text for token in TOKENS for text in (token.hit, token.miss)]
_EXAMPLES = [text.translate({ord("«"): "", ord("»"): ""}) for text in _MARKED]
# What the first look looks for, whole and in parts, between words.
_PIECES = [
    *_EXAMPLES, *(example[: len(example) // 2] for example in _EXAMPLES),
    "4111111111111111", "4111 1111 1111 1111", "3714-496353-98431", "5555.5555.5555.4444", "2024-01-01", "411111111111",
    "=", ":", "@", "%", "%3D", ">", "-", "--", "eyJ", "ey", "Bearer", "bAsIc", " ", "\t", "\n", "+", ",", "'", '"', "(",
    "[", "('", '["', "', b'", "sk", "gh", "password", "task", "0", "7", "x", "_", "ß", "\ud800", "\x00",
]  # fmt: skip
PIECED = st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)
ANY_TEXT = st.text(st.characters(exclude_categories=()))
TEXT = st.one_of(
    PIECED,
    ANY_TEXT,
    st.text("abcdefghijklmnopqrstuvwxyz-0123456789./ ", max_size=40),
    st.integers(120, 1100).map(lambda length: "word " * (length // 5) + "e" * (length % 5)),
    st.sampled_from([16_380, 16_385, 17_500, 40_000]).map(lambda length: "a" * length),
)
NUMBER = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-200, 20_000),
    st.sampled_from([10**12 - 1, 10**12, 10**12 + 1, 4_111_111_111_111_111, 2**63 - 1, 2**63, -(2**63), -(10**12)]),
    st.floats(),
    st.booleans(),
)
SCALAR = st.one_of(
    TEXT, NUMBER, st.none(), st.binary(max_size=20), PIECED.map(Text), st.integers().map(Whole), st.complex_numbers(),
    st.sampled_from([Colour.RED, Broken(), Status(StatusCode.OK), TraceFlags(1)]),
)  # fmt: skip
VALUE: st.SearchStrategy[Any] = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(PIECED, inner, max_size=3)
    ),
    max_leaves=5,
)
KEY: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["task.status", "http.route", "url.path", "dropped", "dropped.prefix.a", "a", "", "k" * 200]),
    st.sampled_from([name for names in NAMES.values() for name in names]),
    PIECED,
    PIECED.map(Text),
    st.one_of(st.integers(), st.none(), st.binary(max_size=3)),
)
ATTRIBUTES = st.dictionaries(KEY, VALUE, max_size=6)
DROPPED = ("dropped", "dropped.prefix.*", "task.st*")


def mappings(attributes: Mapping[Any, Any]) -> st.SearchStrategy[Mapping[Any, Any]]:
    """The same attributes as mappings of several classes."""
    return st.sampled_from([dict(attributes), OrderedDict(attributes), MappingProxyType(dict(attributes))])


ID = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**64 - 1]))
LARGE_ID = st.one_of(st.integers(0, 2**128 - 1), st.sampled_from([0, 1, 2**64, 2**128 - 1]))
_STATE = st.sampled_from([TraceState(), TraceState([("vendor", "value"), ("b", "2")])])
CONTEXT = st.builds(
    SpanContext, LARGE_ID, ID, st.booleans(), st.integers(0, 0x1FF).map(TraceFlags), st.one_of(st.none(), _STATE)
)
WRONG_CONTEXT = st.builds(SpanContext, st.sampled_from([-1, 2**128]), st.sampled_from([-1, 2**64, 5]), st.booleans())
SCOPE: st.SearchStrategy[Any] = st.sampled_from([InstrumentationScope("tests", "1.2"), None])
LINK = st.builds(Link, st.one_of(CONTEXT, CONTEXT, WRONG_CONTEXT), st.one_of(st.none(), ATTRIBUTES))
STATUS = st.builds(Status, st.sampled_from(list(StatusCode)), st.none()) | TEXT.map(
    lambda text: Status(StatusCode.ERROR, text)
)


@st.composite
def spans(draw: st.DrawFn) -> RecordedSpan:
    """A span whose slots hold what a caller can bring into them."""
    limits = Limits(attributes=draw(st.integers(0, 8)), value_length=draw(st.sampled_from([1, 5, 100, 16_384])))
    attributes = draw(ATTRIBUTES)
    kind = draw(st.sampled_from([RecordedSpan, NativeSpan]))
    span = kind(
        draw(st.one_of(TEXT, PIECED.map(Text))),
        draw(st.one_of(CONTEXT, CONTEXT, CONTEXT, WRONG_CONTEXT)),
        draw(st.one_of(st.none(), CONTEXT, WRONG_CONTEXT)),
        draw(st.sampled_from(list(SpanKind))),
        draw(st.one_of(st.none(), mappings(attributes), st.just(SharedAttributes(attributes)))),
        draw(st.lists(LINK, max_size=2)),
        draw(SCOPE),
        limits,
        draw(st.one_of(st.none(), st.integers(0, 2**64 - 1))),
        lambda _: None,
    )
    for key, value in draw(st.lists(st.tuples(KEY, VALUE), max_size=3)):
        span.set_attribute(key, value)
    if draw(st.booleans()):
        span.add_event(draw(TEXT), draw(st.one_of(st.none(), ATTRIBUTES)), draw(st.integers(0, 2**64 - 1)))
    if draw(st.booleans()):
        span.set_status(draw(STATUS))
    span.dropped_attributes += draw(st.sampled_from([0, 0, 1, 300]))
    if draw(st.integers(0, 9)):
        span.end(draw(st.one_of(st.none(), st.integers(0, 2**64 - 1))))
    return span
