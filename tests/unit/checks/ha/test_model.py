"""A row is judged by what was lost, which requests failed and for how long, and the alerts."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from checks.ha.model import Expected, Result, covered
from checks.ha.report import markdown, write

EXPECTED = Expected(needed=frozenset({"ServiceDegraded"}), allowed=frozenset({"ReplicasMissing"}))


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "row": "node1 killed",
        "seconds": 600.0,
        "tasks": 6000,
        "lost_tasks": 0,
        "spans": 60_000,
        "lost_spans": 0,
        "searched_seconds": 1.0,
        "rate": 20.0,
        "requests": 12_000,
        "failed": 3,
        "failing_seconds": 4.2,
        "slowest_seconds": 6.5,
        "reasons": {"POST: 503": 3},
        "whole_seconds": 31.0,
        "alerts": {"ServiceDegraded": 30.0, "ReplicasMissing": 310.0},
        "expected": EXPECTED,
    }
    return Result(**values | changes)


def test_a_row_that_keeps_all_promises_has_no_problem() -> None:
    assert result().problems == []
    assert result(expected=Expected(), alerts={}).problems == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lost_tasks": 1}, "1 acknowledged tasks are lost"),
        ({"task_errors": {"the server does not answer": 2}}, "pages were not crawled: the server does not answer: 2"),
        ({"lost_spans": 2}, "2 acknowledged spans are lost"),
        ({"tasks": 0}, "nothing was acknowledged"),
        ({"spans": 0}, "nothing was acknowledged"),
        ({"failed": 13}, "0.11% of the requests of ten minutes failed"),
        ({"failing_seconds": 10.0}, "requests failed during 10 s"),
        ({"whole_seconds": -1.0}, "the stack did not become whole again"),
        ({"alerts": {}}, "no alert after 45 s: ServiceDegraded"),
        ({"alerts": {"ServiceDegraded": 46.0}}, "no alert after 45 s: ServiceDegraded"),
        ({"alerts": {"ServiceDegraded": 30.0, "LagGrows": 60.0}}, "other alerts: LagGrows"),
    ],
)
def test_each_broken_promise_is_a_problem(changes: dict[str, Any], problem: str) -> None:
    assert result(**changes).problems == [problem]


@pytest.mark.parametrize(
    ("intervals", "seconds"),
    [
        ([], 0.0),
        ([(1.0, 3.0)], 2.0),
        ([(5.0, 6.0), (1.0, 3.0)], 3.0),
        ([(1.0, 4.0), (2.0, 3.0), (3.5, 6.0)], 5.0),
    ],
)
def test_time_in_which_several_requests_fail_counts_once(intervals: list[tuple[float, float]], seconds: float) -> None:
    assert covered(intervals) == seconds


def test_failures_of_a_short_window_are_related_to_the_requests_of_ten_minutes() -> None:
    assert result(requests=2_400, failed=6).failed_share == 0.0005
    assert result(requests=24_000, failed=6).failed_share == 0.00025


def test_the_results_are_written_with_their_problems(tmp_path: Path) -> None:
    write([result(reasons=Counter({"POST: 503": 3}), lost_tasks=1)], tmp_path)
    (row,) = json.loads((tmp_path / "results.json").read_text())
    assert row["reasons"] == {"POST: 503": 3}
    assert row["problems"] == ["1 acknowledged tasks are lost"]
    assert (tmp_path / "table.md").read_text().count("\n") == 3


def test_the_table_has_a_line_for_each_row() -> None:
    late = result(row="node2 killed", whole_seconds=-1.0, alerts={"LagGrows": 60.0})
    header, _, first, second = markdown([result(), late]).splitlines()
    assert header.startswith("| what happens | lost tasks | pages not crawled | lost spans |")
    assert first == (
        "| node1 killed | 0 of 6,000 | 0 | 0 of 60,000 | 1 s | 3 of 12,000 | 0.03% | 4.2 s | 6.5 s | 31 s "
        "| ServiceDegraded after 30 s | ReplicasMissing after 310 s |"
    )
    assert second.endswith("| 6.5 s | not | none | LagGrows after 60 s |")
