"""The report and the document of a run whose figures are known."""

import io
import json

import pytest
from rich.console import Console

from checks.bench.delivery import Delivery
from checks.bench.figures import Results
from checks.bench.measure import BARE, CONTROL, NATIVE, OURS, STOCK, Series, Subject
from checks.bench.report import show

DDTRACE = Subject(variant="ddtrace")


def _series(microseconds: float, values: int = 7) -> Series:
    rounds = [microseconds + jitter for jitter in (0.0, 1.0, 2.0)]
    return Series(
        cpu=rounds,
        wall=rounds,
        operations=3,
        spans_per_operation=1.0,
        received=3,
        values=values,
        versions={"fastapi": "0.165.0"},
    )


def _results(ddtrace: Series) -> Results:
    bare = _series(10.0)
    sides = {BARE: bare, STOCK: _series(110.0), OURS: _series(30.0), NATIVE: _series(20.0), CONTROL: _series(30.0)}
    starts = {subject: _series(300_000.0 if subject == BARE else 350_000.0) for subject in (*sides, DDTRACE)}
    made = [Delivery(made=5, received=5, seconds=1.0, cpu_microseconds=6.0)]
    return Results(
        machine={"commit": "abc"},
        scenarios={"span": {**sides, DDTRACE: ddtrace}},
        memory={BARE: [50.0], OURS: [55.0]},
        deliveries={STOCK: made, OURS: made},
        starts=starts,
    )


def _printed(results: Results) -> str:
    output = io.StringIO()
    show(results, Console(file=output, width=150))
    return output.getvalue()


def test_a_library_is_compared_with_stock_and_with_this_one() -> None:
    results = _results(_series(60.0))
    printed = _printed(results)
    assert "added cost of ddtrace / added cost of stock: 0.500 (95 %: 0.500 to 0.500)" in printed
    assert "added cost of ddtrace / added cost of ours: 2.500 (95 %: 2.500 to 2.500)" in printed
    assert "added cost of ddtrace / added cost of native: 5.000" in printed
    assert "fastapi 0.165.0" in printed
    document = json.loads(json.dumps(results.document()))
    assert document["alternatives"]["span"]["ddtrace"]["stock"] == {"value": 0.5, "low": 0.5, "high": 0.5, "tie": False}
    assert document["scenarios"]["span"]["ddtrace"]["cpu"] == [60.0, 61.0, 62.0]
    assert document["starts"]["ours"]["wall"] == [350_000.0, 350_001.0, 350_002.0]


def test_a_tie_is_called_a_tie() -> None:
    results = _results(_series(110.0))
    assert "added cost of ddtrace / added cost of stock: 1.000 (95 %: 1.000 to 1.000, a tie)" in _printed(results)
    assert results.document()["alternatives"]["span"]["ddtrace"]["stock"]["tie"]


def test_other_spans_than_those_of_stock_are_reported() -> None:
    same, differing = _results(_series(60.0)), _results(_series(60.0, values=8))
    assert "all spans of all variants arrived; what the scenario gave them is the same" in _printed(same)
    assert "not all spans arrived, or with other values than those of stock: ddtrace" in _printed(differing)
    assert not differing.document()["delivered"]["span"]["ddtrace"]


def test_the_start_of_a_service_has_a_goal() -> None:
    results = _results(_series(60.0))
    goals = {goal.name: goal for goal in results.goals()}
    for name in ("start of a service: time added", "start of a service: time added, native part"):
        assert (goals[name].measured, goals[name].limit, goals[name].unit, goals[name].met) == (50.0, 60.0, "ms", True)
    assert "+50.0" in _printed(results)


def test_a_start_that_took_less_time_on_a_busy_machine_is_measured_by_its_cpu_time() -> None:
    results = _results(_series(60.0))
    results.starts[OURS].wall = [100_000.0] * 3
    results.starts[OURS].cpu = [370_000.0] * 3
    (goal,) = (goal for goal in results.goals() if goal.name == "start of a service: time added")
    assert goal.measured == pytest.approx(70.0, abs=0.1)
    assert not goal.met


@pytest.mark.parametrize(("again", "warned"), [(30.0, False), (40.0, True)])
def test_a_run_that_other_programs_disturbed_is_named(again: float, warned: bool) -> None:
    results = _results(_series(60.0))
    results.scenarios["span"][CONTROL] = _series(again)
    assert ("other programs disturbed the run" in _printed(results)) is warned


def test_counts_among_the_goals_are_whole_numbers() -> None:
    printed = _printed(_results(_series(60.0)))
    assert "│ 0 spans │" in printed.replace("  ", "")
    assert "0.00 spans" not in printed
