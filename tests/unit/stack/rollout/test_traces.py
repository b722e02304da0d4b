"""What differs in the traces of both versions."""

from collections.abc import Mapping

from stack.clients.traces import Span
from stack.rollout.traces import Difference, differences


def span(
    identifier: str,
    service: str,
    name: str,
    *,
    parent: str = "",
    milliseconds: float = 10,
    canary: bool,
    error: str = "",
) -> Span:
    return Span(
        span_id=identifier,
        parent_id=parent,
        service=service,
        name=name,
        kind="CLIENT" if name == "GET" else "SERVER",
        start=0,
        end=int(milliseconds * 1e6),
        error=bool(error),
        message=error,
        deployment=f"{service}-canary" if canary else service,
    )


def trace(*, canary: bool, slow: bool = False, error: str = "", extra: bool = False) -> list[Span]:
    spans = [
        span("a", "gateway", "POST /tasks", canary=canary, milliseconds=60 if slow else 10, error=error),
        span("b", "web-crawler", "crawl page", parent="a", canary=False),
    ]
    if extra:
        spans += [
            span("c", "gateway", "GET", parent="a", canary=canary),
            span("d", "task-manager", "GET /tasks", parent="c", canary=False),
        ]
    return spans


def compared(canary: Mapping[str, list[Span]]) -> list[Difference]:
    baseline = {f"baseline-{number}": trace(canary=False) for number in range(6)}
    return differences(baseline | dict(canary))


def test_equal_versions_do_not_differ_nor_does_a_consumer_that_has_no_spans_of_the_canary() -> None:
    assert compared({f"canary-{number}": trace(canary=True) for number in range(6)}) == []


def test_a_slower_operation_is_a_difference_with_examples() -> None:
    (difference,) = compared({f"canary-{number}": trace(canary=True, slow=True) for number in range(6)})
    assert (difference.kind, difference.name) == ("duration", "gateway: POST /tasks")
    assert (difference.canary, difference.baseline) == ("60.0 ms", "10.0 ms")
    assert difference.trace_ids == ["canary-0", "canary-1", "canary-2"]


def test_errors_are_a_difference_with_their_traces() -> None:
    canary = {
        f"canary-{number}": trace(canary=True, error="a bad version" if number == 4 else "") for number in range(6)
    }
    (difference,) = compared(canary)
    assert (difference.kind, difference.trace_ids) == ("errors", ["canary-4"])
    assert difference.canary == "1 of 6: a bad version"


def test_an_operation_and_an_edge_of_one_version_are_differences() -> None:
    result = compared({f"canary-{number}": trace(canary=True, extra=True) for number in range(6)})
    assert ("operation", "gateway: GET", "6 spans", "0 spans") in [
        (it.kind, it.name, it.canary, it.baseline) for it in result
    ]
