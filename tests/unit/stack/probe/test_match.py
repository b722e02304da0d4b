"""The edge table against traces that are right, broken and incomplete."""

import re
from dataclasses import replace

import pytest

from contracts.hops import CRAWL, HOPS, PROCESS_NEW, SEND_NEW, Hop
from stack.clients.traces import Span
from stack.polling import CheckFailure
from stack.probe.match import match_hops

CALLER = "c" * 16


def span(hop: Hop, number: int, parent_id: str) -> Span:
    return Span(
        span_id=f"{number:016x}",
        parent_id=parent_id,
        service=hop.service,
        name=hop.name,
        kind=hop.kind,
        start=number,
        end=number + 1,
        error=False,
    )


def trace() -> dict[Hop, Span]:
    spans: dict[Hop, Span] = {}
    for number, hop in enumerate(HOPS, start=1):
        spans[hop] = span(hop, number, spans[hop.parent].span_id if hop.parent else CALLER)
    return spans


def test_a_whole_trace_matches() -> None:
    spans = trace()
    assert match_hops(list(spans.values()), CALLER) == spans


def test_internal_spans_of_the_same_service_may_be_between() -> None:
    spans = trace()
    business = replace(spans[PROCESS_NEW], span_id="b" * 16, parent_id=spans[PROCESS_NEW].span_id, kind="INTERNAL")
    below = [
        replace(span, parent_id=business.span_id) if hop.parent is PROCESS_NEW else span for hop, span in spans.items()
    ]
    assert match_hops([*below, business], CALLER).keys() == spans.keys()


@pytest.mark.parametrize("first", [True, False])
def test_a_retried_hop_matches_by_the_attempt_that_leads_on(first: bool) -> None:
    spans = trace()
    failed = replace(spans[PROCESS_NEW], span_id="b" * 16, error=True)
    attempts = [failed, *spans.values()] if first else [*spans.values(), failed]
    assert match_hops(attempts, CALLER) == spans


def test_the_attempt_that_gets_furthest_names_the_missing_hop() -> None:
    spans = trace()
    failed = replace(spans[PROCESS_NEW], span_id="b" * 16)
    del spans[CRAWL]
    with pytest.raises(CheckFailure, match=re.escape(f"hop missing: {CRAWL}")):
        match_hops([failed, *spans.values(), replace(failed, span_id="d" * 16)], CALLER)


@pytest.mark.parametrize("hop", HOPS, ids=str)
def test_a_missing_hop_is_named(hop: Hop) -> None:
    spans = trace()
    del spans[hop]
    with pytest.raises(CheckFailure, match=re.escape(f"hop missing: {hop}")):
        match_hops(list(spans.values()), CALLER)


def test_a_context_lost_at_kafka_is_named_as_such() -> None:
    spans = trace()
    spans[PROCESS_NEW] = replace(spans[PROCESS_NEW], parent_id="")
    with pytest.raises(CheckFailure, match=re.escape(f"none after {SEND_NEW}: the trace context was lost")):
        match_hops(list(spans.values()), CALLER)


def test_a_trace_of_another_caller_does_not_count() -> None:
    with pytest.raises(CheckFailure, match="with the caller's span as its parent"):
        match_hops(list(trace().values()), "d" * 16)
