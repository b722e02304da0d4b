"""Our tracer keeps the promises of OpenTelemetry's API."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from lean_tracing import span as span_module
from lean_tracing.readable_span import to_readable_span
from lean_tracing.sampling import TraceSampler
from lean_tracing.span import Limits, RecordedSpan
from lean_tracing.statistics import SpanCounts
from lean_tracing.tracer import LeanTracer, TracerParts


class _Traced:
    """A tracer, and the spans that it ended."""

    def __init__(self, ratio: float = 1.0, limits: Limits | None = None) -> None:
        self.counts = SpanCounts()
        self.ended: list[RecordedSpan] = []
        self.tracer = LeanTracer(
            InstrumentationScope("tests"),
            TracerParts(TraceSampler(ratio), limits or Limits(), self.counts, self.ended.append),
        )

    def start(self, name: str = "work") -> RecordedSpan:
        span = self.tracer.start_span(name)
        assert isinstance(span, RecordedSpan)
        return span


@pytest.fixture
def traced() -> _Traced:
    return _Traced()


def test_a_root_begins_a_random_trace(traced: _Traced) -> None:
    spans = [traced.start() for _ in range(200)]
    assert len({span.context.trace_id for span in spans}) == 200
    assert len({span.context.span_id for span in spans}) == 200
    for span in spans:
        assert span.parent is None
        assert span.context.is_valid
        assert span.context.trace_flags == TraceFlags.SAMPLED | 2
        assert not span.context.is_remote


def test_a_child_follows_its_parent(traced: _Traced) -> None:
    state = TraceState([("vendor", "1")])
    parent = SpanContext(7 << 64, 9, True, TraceFlags(1), state)
    context = trace.set_span_in_context(NonRecordingSpan(parent))
    span = traced.tracer.start_span("work", context, SpanKind.CLIENT)
    assert isinstance(span, RecordedSpan)
    assert (span.context.trace_id, span.context.trace_state) == (7 << 64, state)
    assert span.context.trace_flags == TraceFlags.SAMPLED, "its parent does not say that the trace id is random"
    assert span.parent == parent
    assert span.kind is SpanKind.CLIENT


def test_an_unsampled_trace_goes_on_without_recording() -> None:
    traced = _Traced(ratio=0.0)
    with traced.tracer.start_as_current_span("work") as span:
        assert not span.is_recording()
        assert span.get_span_context().is_valid
        assert not span.get_span_context().trace_flags.sampled
        inner = traced.tracer.start_span("inner")
    assert inner.get_span_context().trace_id == span.get_span_context().trace_id
    assert (traced.ended, traced.counts.started, traced.counts.sampled_out) == ([], 0, 2)


def test_times_are_taken_or_given(traced: _Traced) -> None:
    span = traced.tracer.start_span("work", start_time=5)
    span.end(9)
    other = traced.start()
    other.end()
    assert [(one.start_time, one.end_time) for one in traced.ended[:1]] == [(5, 9)]
    assert other.end_time is not None
    assert other.end_time >= other.start_time


@pytest.mark.parametrize("jump", [-2.0, 3600.0, -86_400.0])
def test_a_clock_that_is_set_changes_no_duration(traced: _Traced, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    earliest = time.time_ns()
    span = traced.start()
    context = trace.set_span_in_context(span)
    monkeypatch.setattr(span_module, "time_ns", lambda: time.time_ns() + int(jump * 1e9))
    child = traced.tracer.start_span("child", context)
    assert isinstance(child, RecordedSpan)
    child.add_event("seen")
    child.add_event("given", timestamp=7)
    child.end()
    span.end()
    assert child.end_time is not None
    assert span.end_time is not None
    assert earliest <= span.start_time <= child.start_time <= child.events[0].timestamp <= child.end_time
    assert child.end_time <= span.end_time <= time.time_ns() + 1_000_000
    assert child.events[1].timestamp == 7
    later = traced.tracer.start_span("in the background", context)
    assert isinstance(later, RecordedSpan)
    assert abs(later.start_time - time.time_ns() - jump * 1e9) < 1e9, (
        "what outlives its parent takes the clock as it is now"
    )


def test_a_start_that_is_ahead_of_the_clock_ends_no_earlier(traced: _Traced) -> None:
    span = traced.tracer.start_span("work", start_time=time.time_ns() + 10**12)
    span.end()
    (ended,) = traced.ended
    assert ended.end_time == ended.start_time


def test_a_clock_that_was_set_back_ends_no_span_before_its_start(traced: _Traced) -> None:
    ahead = time.time_ns() + 10**12
    for start, end, right in ((9, 5, 9), (9, 10, 10), (None, 5, None), (ahead, 5, ahead), (ahead, None, ahead)):
        span = traced.tracer.start_span("work", start_time=start)
        assert isinstance(span, RecordedSpan)
        span.add_event("seen")
        span.add_event("given", timestamp=3)
        span.end(end)
        assert span.end_time == (right or span.start_time)
        assert span.events[0].timestamp >= span.start_time
        assert span.events[1].timestamp == 3


_IDS = """
import os, random, sys
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from lean_tracing.sampling import TraceSampler
from lean_tracing.statistics import SpanCounts
from lean_tracing.span import Limits
from lean_tracing.tracer import LeanTracer, TracerParts

parts = TracerParts(TraceSampler(1.0), Limits(), SpanCounts(), lambda span: None)
tracer = LeanTracer(InstrumentationScope("tests"), parts)

def ids():
    random.seed(42)
    context = tracer.start_span("work").get_span_context()
    return f"{context.trace_id:032x} {context.span_id:016x}"

print(ids(), ids(), ids(), flush=True)
for _ in range(3):
    if os.fork() == 0:
        print(ids(), flush=True)
        os._exit(0)
    os.wait()
print(ids(), flush=True)
"""


def test_ids_differ_after_any_seed_and_after_a_fork() -> None:
    made: list[str] = []
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", _IDS], capture_output=True, text=True, timeout=60, check=True)
        made += ended.stdout.split()
    assert len(made) == 2 * 7 * 2
    assert len(set(made)) == len(made)


def test_calls_after_the_end_are_ignored_and_logged(traced: _Traced, caplog: pytest.LogCaptureFixture) -> None:
    span = traced.start()
    span.end(span.start_time + 3)
    with caplog.at_level(logging.WARNING):
        span.update_name("late")
        span.set_attribute("late", 1)
        span.set_attributes(_Broken())
        span.add_event("late")
        span.set_status(StatusCode.ERROR)
        span.end(4)
    assert (dict(span.attributes), span.events, span.end_time) == ({}, (), span.start_time + 3)
    assert span.status.status_code is StatusCode.UNSET
    assert len(traced.ended) == 1
    assert (span.name, span.dropped_attributes) == ("work", 0)
    assert len(caplog.messages) == 4
    assert not span.is_recording()


def test_ok_is_final_and_unset_takes_nothing_back(traced: _Traced) -> None:
    span = traced.start()
    span.set_status(Status(StatusCode.ERROR, "went wrong"))
    span.set_status(StatusCode.UNSET)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "went wrong")
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR, "too late")
    assert span.status.status_code is StatusCode.OK


def test_limits_are_kept_and_what_is_beyond_is_counted() -> None:
    traced = _Traced(limits=Limits(attributes=3, events=2, value_length=5))
    span = traced.tracer.start_span("work", attributes={"a": "123456789", "b": 2})
    assert isinstance(span, RecordedSpan)
    span.set_attributes({"c": 3, "d": 4, "a": "new"})
    for _ in range(4):
        span.add_event("seen", {"long": "123456789", "x": 1, "y": 2, "z": 3})
    assert span.attributes == {"a": "new", "b": 2, "c": 3}
    assert span.dropped_attributes == 1
    assert (len(span.events), span.dropped_events) == (2, 2)
    assert span.events[0].dropped_attributes == 1
    shown = to_readable_span(span, Resource({}))
    assert shown.events[0].attributes == {"long": "12345", "x": 1, "y": 2}


def test_a_limit_may_be_zero() -> None:
    traced = _Traced(limits=Limits(attributes=0, events=0, links=0))
    span = traced.tracer.start_span("work", attributes={"a": 1}, links=[Link(SpanContext(7, 8, True))])
    assert isinstance(span, RecordedSpan)
    span.set_attribute("b", 2)
    span.add_event("seen")
    span.add_link(SpanContext(7, 8, True))
    assert (dict(span.attributes), span.events, span.links) == ({}, (), ())
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (2, 1, 2)


def test_attributes_of_events_and_links_have_limits_of_their_own() -> None:
    traced = _Traced(limits=Limits(attributes=9, event_attributes=2, link_attributes=3, value_length=5))
    many: Any = {f"key {number}": "x" * 10_000 for number in range(200)}
    other = Link(SpanContext(7, 8, True), many)
    span = traced.tracer.start_span("work", links=[other] * 200)
    assert isinstance(span, RecordedSpan)
    span.add_event("seen", many)
    assert [(len(event.attributes), event.dropped_attributes) for event in span.events] == [(2, 198)]
    assert (len(span.links), span.dropped_links) == (128, 72)
    span = traced.start()
    span.add_link(other.context, many)
    for link in (*span.links, *traced.tracer.start_span("work", links=[other]).links):  # type: ignore[attr-defined]
        assert (len(link.attributes), link.dropped_attributes) == (3, 197)
        assert all(len(value) < 2_000 for value in link.attributes.values())


def test_a_links_attributes_may_change_after_they_were_given(traced: _Traced) -> None:
    own: Any = {"a": ["b"]}
    span = traced.tracer.start_span("work", links=[Link(SpanContext(7, 8, True), own)])
    assert isinstance(span, RecordedSpan)
    own["a"].append("c")
    own["d"] = 1
    assert span.links[0].attributes == {"a": ("b",)}


class _Broken(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise ZeroDivisionError

    __iter__ = __len__ = items = __bool__ = __getitem__  # type: ignore[assignment]


class _BrokenText(str):
    def __len__(self) -> int:
        raise ZeroDivisionError

    __str__ = __repr__ = __getitem__ = __len__  # type: ignore[assignment]


class _BrokenObject:
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class _BrokenError(Exception):
    __str__ = _BrokenObject.__str__


_BROKEN: Any = {
    "map": _Broken,
    "text": lambda: _BrokenText("text"),
    "object": _BrokenObject,
    "list": lambda: [_Broken()],
    "inner": lambda: {"a": _BrokenText("text")},
}


@pytest.mark.parametrize("kind", _BROKEN)
def test_no_value_raises_into_the_application(traced: _Traced, kind: str) -> None:
    value = _BROKEN[kind]()
    span = traced.tracer.start_span(
        "work", attributes={"a": value}, links=[Link(SpanContext(7, 8, True), {"a": value})]
    )
    assert isinstance(span, RecordedSpan)
    span.set_attribute("b", value)
    span.set_attributes({"c": value, "d": 1})
    span.add_event("seen", {"a": value, "d": 1})
    span.add_link(SpanContext(7, 8, True), {"a": value})
    span.record_exception(_BrokenError(), {"a": value})
    with pytest.raises(_BrokenError), traced.tracer.start_as_current_span("fails"):
        raise _BrokenError
    span.end()
    shown = to_readable_span(span, Resource({}))
    assert shown.attributes
    assert set(shown.attributes) == {"a", "b", "c", "d"}
    assert [event.name for event in shown.events] == ["seen", "exception"]


def test_what_is_no_map_of_attributes_is_dropped_and_counted(traced: _Traced) -> None:
    span = traced.tracer.start_span("work", attributes=_Broken(), links=[Link(SpanContext(7, 8, True), _Broken())])
    assert isinstance(span, RecordedSpan)
    span.set_attributes(_Broken())
    span.set_attribute([], "no key")  # type: ignore[arg-type]
    span.add_event("seen", _Broken())
    span.add_event("seen", {b"key": 1, "a": 2})  # type: ignore[dict-item]
    span.add_link(SpanContext(7, 8, True), _Broken())
    span.record_exception(ValueError("x"), _Broken())
    span.end()
    assert span.dropped_attributes == 3
    assert span.events[0].dropped_attributes == 1
    assert [link.dropped_attributes for link in span.links] == [1, 1]
    assert to_readable_span(span, Resource({})).events[1].attributes


def test_a_map_that_another_thread_changes_is_taken(traced: _Traced) -> None:
    class Changing(dict[str, Any]):
        """Grows while it is read, as if by another thread."""

        def items(self) -> Any:
            for number, item in enumerate(super().items()):
                if number == 1 and "new" not in self:
                    self["new"] = 1
                yield item

    span = traced.start()
    span.set_attributes(Changing(a=1, b=2))
    assert span.attributes == {"a": 1, "b": 2, "new": 1}
    span.set_attribute("map", Changing(a=1, b=2))
    span.add_event("seen", Changing(a=1, b=2))
    span.end()


def test_links_have_a_limit() -> None:
    traced = _Traced(limits=Limits(links=2))
    other = SpanContext(7, 8, True)
    span = traced.tracer.start_span("work", links=[Link(other)] * 3)
    assert isinstance(span, RecordedSpan)
    assert (len(span.links), span.dropped_links) == (2, 1)
    span.add_link(other)
    assert (len(span.links), span.dropped_links) == (2, 2)
    fewer = traced.start()
    fewer.add_link(other)
    fewer.end()
    fewer.add_link(other)
    assert (len(fewer.links), fewer.dropped_links) == (1, 0)


@pytest.mark.parametrize("kind", [tuple, set, iter], ids=["tuple", "set", "iterator"])
def test_links_come_in_any_collection(traced: _Traced, kind: Any) -> None:
    span = traced.tracer.start_span("work", links=kind([Link(SpanContext(7, 8, True))]))
    assert isinstance(span, RecordedSpan)
    assert [link.context.span_id for link in span.links] == [8]


def test_links_without_ids_are_kept_only_for_what_they_say(traced: _Traced) -> None:
    nothing = SpanContext(0, 0, True)
    stated = SpanContext(0, 0, True, trace_state=TraceState([("a", "b")]))
    values: Any = [None, "no link", Link(nothing), Link(nothing, {}), Link(nothing, {"a": 1}), Link(stated)]
    span = traced.tracer.start_span("work", links=[*values, Link(None)])  # type: ignore[arg-type]
    assert isinstance(span, RecordedSpan)
    span.add_link(nothing)
    span.add_link(None)  # type: ignore[arg-type]
    span.add_link(stated)
    assert [(link.context, dict(link.attributes or {})) for link in span.links] == [
        (nothing, {"a": 1}), (stated, {}), (stated, {}),
    ]  # fmt: skip
    assert span.dropped_links == 0


@pytest.mark.parametrize("time", [-1, 1 << 64, "soon", float("inf"), object()])
def test_a_time_that_otlp_cannot_hold_is_replaced_by_now(traced: _Traced, time: Any) -> None:
    span = traced.tracer.start_span("work", start_time=time)
    assert isinstance(span, RecordedSpan)
    span.add_event("seen", timestamp=time)
    span.end(time)
    now = traced.start().start_time
    assert span.end_time is not None
    for taken in (span.start_time, span.events[0].timestamp, span.end_time):
        assert 0 <= now - taken < 10**10


def test_a_time_may_be_a_float(traced: _Traced) -> None:
    span = traced.tracer.start_span("work", start_time=2e9)  # type: ignore[arg-type]
    assert isinstance(span, RecordedSpan)
    span.add_event("seen", timestamp=3e9)  # type: ignore[arg-type]
    span.end(4e9)  # type: ignore[arg-type]
    assert [span.start_time, span.events[0].timestamp, span.end_time] == [2 * 10**9, 3 * 10**9, 4 * 10**9]
    assert all(type(time) is int for time in (span.start_time, span.events[0].timestamp, span.end_time))


@pytest.mark.parametrize("status", [None, "ERROR", 2])
def test_what_is_no_status_changes_none(traced: _Traced, status: Any) -> None:
    span = traced.start()
    span.set_status(status)
    assert span.status.status_code is StatusCode.UNSET


def test_a_list_may_change_after_it_was_given(traced: _Traced) -> None:
    span = traced.start()
    values = ["a", "b"]
    span.set_attribute("values", values)
    values.append("c")
    assert span.attributes["values"] == ("a", "b")


def test_an_exception_inside_a_current_span_is_recorded(traced: _Traced) -> None:
    with pytest.raises(ValueError), traced.tracer.start_as_current_span("work"):
        raise ValueError("wrong")
    (span,) = traced.ended
    assert span.status.status_code is StatusCode.ERROR
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "builtins.ValueError"
    assert event.attributes["exception.message"] == "wrong"


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("status", [True, False])
def test_a_span_that_is_a_block_records_the_exception_that_ends_it(
    traced: _Traced, recorded: bool, status: bool
) -> None:
    with (
        pytest.raises(ValueError),
        traced.tracer.start_span("work", record_exception=recorded, set_status_on_exception=status),
    ):
        raise ValueError("wrong")
    (span,) = traced.ended
    assert [event.name for event in span.events] == ["exception"] * recorded
    assert span.status.description == ("ValueError: wrong" if status else None)


def test_a_decorated_coroutine_function_runs_inside_its_span(traced: _Traced) -> None:
    @traced.tracer.start_as_current_span("work")
    async def work() -> int:
        await asyncio.sleep(0)
        trace.get_current_span().set_attribute("inside", True)
        return 7

    assert asyncio.run(work()) == 7
    (span,) = traced.ended
    assert span.attributes == {"inside": True}


def test_the_sdks_form_is_equal(traced: _Traced) -> None:
    span = traced.start("work")
    span.set_attributes({"a": 1, "b": "text"})
    span.add_event("seen", {"n": 1}, 7)
    span.add_link(SpanContext(3 << 64, 4, True))
    span.update_name("renamed")
    span.end()
    same = to_readable_span(span, Resource({"service.name": "x"}))
    assert (same.name, same.kind, same.context, same.parent) == ("renamed", SpanKind.INTERNAL, span.context, None)
    assert same.attributes == {"a": 1, "b": "text"}
    assert [(event.name, event.timestamp) for event in same.events] == [("seen", 7)]
    assert [link.context.span_id for link in same.links] == [4]
    assert (same.start_time, same.end_time) == (span.start_time, span.end_time)
    assert same.resource.attributes["service.name"] == "x"
    assert isinstance(same.links[0], Link)


def test_the_time_of_starting_is_estimated_from_a_few(traced: _Traced) -> None:
    for _ in range(130):
        traced.start()
    assert traced.counts.timed == 3
    average = traced.counts.timed_ns / 3e9
    assert traced.counts.starting_seconds == pytest.approx(130 * average)
    assert 0 < average < 0.1
