"""Comparing a trace with what it must be: whole, broken, incomplete, and with more in it than there should be."""

from dataclasses import replace
from random import Random

import pytest

from checks.coverage import expected
from checks.coverage.compare import Comparison, compare
from checks.coverage.expected import ExpectedSpan
from checks.coverage.operations import RunState
from checks.coverage.plan import Plan
from stack.clients.traces import Span

CALLER = "c" * 16
WHOLE = expected.submitted(expected.new_message(expected.DEMO_PAGE))


def spans_of(expected_span: ExpectedSpan, parent_id: str = CALLER, first: int = 1) -> list[Span]:
    """A trace that is exactly as expected, in the order of `ExpectedSpan.spans`."""
    own = Span(
        span_id=f"{first:016x}",
        parent_id=parent_id,
        service=expected_span.service,
        name=expected_span.name,
        kind=expected_span.kind,
        start=first,
        end=first + 1,
        error=False,
    )
    made = [own]
    for child in expected_span.children:
        made += spans_of(child, own.span_id, first + len(made))
    return made


def test_a_whole_trace_is_complete() -> None:
    assert compare(spans_of(WHOLE), WHOLE, CALLER) == Comparison()
    assert len(spans_of(WHOLE)) == 11


def test_the_order_of_spans_does_not_matter() -> None:
    spans = spans_of(WHOLE)
    Random(1).shuffle(spans)
    assert compare(spans, WHOLE, CALLER).is_complete


@pytest.mark.parametrize("number", range(11))
def test_any_missing_span_is_named(number: int) -> None:
    spans = spans_of(WHOLE)
    lost = spans.pop(number)
    comparison = compare(spans, WHOLE, CALLER)
    assert not comparison.is_complete
    assert comparison.missing[0].startswith(f"{lost.service} {lost.kind} {lost.name!r} below ")


@pytest.mark.parametrize("number", range(11))
def test_any_lost_context_is_named(number: int) -> None:
    spans = spans_of(WHOLE)
    spans[number] = replace(spans[number], parent_id="")
    assert not compare(spans, WHOLE, CALLER).is_complete


def test_internal_spans_and_more_statements_may_be_there() -> None:
    spans = spans_of(WHOLE)
    process = next(span for span in spans if span.kind == "CONSUMER")
    inner = replace(process, span_id="a" * 16, parent_id=process.span_id, kind="INTERNAL", name="create task")
    below = [replace(span, parent_id=inner.span_id) if span.parent_id == process.span_id else span for span in spans]
    commit = replace(process, span_id="b" * 16, parent_id=inner.span_id, kind="CLIENT", name="COMMIT")
    assert compare([*below, inner, commit], WHOLE, CALLER) == Comparison()


def test_a_message_processed_twice_is_counted_and_is_no_error() -> None:
    spans = spans_of(expected.DEAD_LETTERED)
    again = [replace(span, span_id=span.span_id.replace("0", "f", 1)) for span in spans]
    again[1] = replace(again[1], parent_id=again[0].span_id)
    assert compare([*spans, *again], expected.DEAD_LETTERED, CALLER) == Comparison(repeated=1)


def test_a_first_try_that_broke_off_does_not_hide_the_second() -> None:
    spans = spans_of(WHOLE)
    process = next(span for span in spans if span.kind == "CONSUMER")
    broken = replace(process, span_id="a" * 16, start=0)
    assert compare([broken, *spans], WHOLE, CALLER) == Comparison(repeated=1)


def test_what_no_operation_asked_for_is_wrong() -> None:
    spans = spans_of(expected.INVALID_TASK)
    sent = replace(spans[0], span_id="a" * 16, parent_id=spans[0].span_id, kind="PRODUCER", name="send task-status")
    comparison = compare([*spans, sent], expected.INVALID_TASK, CALLER)
    assert comparison.wrong == ("gateway PRODUCER 'send task-status' is not expected there",)


def test_a_span_stored_twice_is_wrong() -> None:
    spans = spans_of(expected.INVALID_TASK)
    assert compare([*spans, *spans], expected.INVALID_TASK, CALLER).wrong


def test_a_trace_begun_by_a_service_has_no_parent() -> None:
    spans = spans_of(expected.DEAD_LETTERED, "")
    assert compare(spans, expected.DEAD_LETTERED, "").is_complete
    assert not compare(spans_of(expected.DEAD_LETTERED, "d" * 16), expected.DEAD_LETTERED, "").is_complete


def test_the_plan_has_exactly_what_was_asked_for() -> None:
    state = RunState(page_base="http://gateway:8080", rng=Random(1))
    plan = Plan(1000, 100, state)
    assert len(plan) == 1000
    made = []
    while (operation := plan.next()) is not None:
        made.append(operation)
    assert plan.next() is None
    assert 0 < len(plan) < 500  # what needs a finished task waits for one
    for kind in ("create", "message new"):
        operation = next(operation for operation in made if operation.kind == kind)
        operation.task_id = "0af76519-16cd-43dd-8448-eb211c80319c"
        state.finish(operation)
    while (operation := plan.next()) is not None:
        made.append(operation)
    assert len(made) == 1000
    assert sum(operation.malformed for operation in made) == 100
    assert len({operation.number for operation in made}) == 1000
    traces = [operation.trace_id for operation in made if operation.trace_id]
    assert len(set(traces)) == len(traces)
    assert all(operation.malformed for operation in made if operation.trace_id is None)
