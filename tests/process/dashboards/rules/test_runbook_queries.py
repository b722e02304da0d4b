"""Each query of a runbook shows what the runbook says when its alert fires: promtool runs it on the alert's cases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from dashboards.expectations import RESOLVED, Expectation, Row, expectations, find_query
from tests.support.alert_cases import CASES
from tests.support.alert_cases.metrics import FAULT, healthy
from tests.support.alert_cases.stacks import rules_of, settings
from tests.support.promtool import STEP, binary
from tests.support.rule_selection import inputs, needed
from tests.support.simulated_queries import Query, Simulation, results

_OF_CASES: Final = [expectation for expectation in expectations() if expectation.state in CASES]
_ALERTS: Final = list(dict.fromkeys((expectation.runbook, expectation.state) for expectation in _OF_CASES))


def expected(runbook: str, case: str) -> list[Expectation]:
    """Return the expectations of a runbook in a case."""
    return [expectation for expectation in _OF_CASES if (expectation.runbook, expectation.state) == (runbook, case)]


def simulation(runbook: str, name: str) -> Simulation:
    """Return a case with the queries of a runbook: each runs before the fault, and when the alert fires."""
    case = CASES[name]
    series = dict(healthy(settings(case.stack)))
    for apply in case.changes:
        apply(series)
    queries = [find_query(runbook, expectation.query).text for expectation in expected(runbook, name)]
    rules = inputs(rules_of(case.stack), queries)
    fires = case.fires(runbook)
    assert fires is not None
    return Simulation(
        rules=rules,
        metrics=needed(series, rules, queries),
        queries=[Query(text=text, seconds=time) for text in queries for time in (FAULT - STEP, FAULT + fires)],
        begins=case.begins,
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Expectation, tuple[list[Row], list[Row]]]:
    """Return expectation → the result of its query before the fault, and when the alert fires."""
    simulations = [simulation(*alert) for alert in _ALERTS]
    answers = results(binary(), tmp_path_factory.mktemp("runbooks"), simulations)
    return {
        expectation: (baseline, firing)
        for alert, answer in zip(_ALERTS, answers, strict=True)
        for expectation, baseline, firing in zip(expected(*alert), answer[::2], answer[1::2], strict=True)
    }


@pytest.mark.parametrize(("runbook", "case"), _ALERTS)
def test_queries_show_what_the_runbook_says(
    runbook: str, case: str, rows: Mapping[Expectation, tuple[list[Row], list[Row]]]
) -> None:
    for expectation in expected(runbook, case):
        firing = rows[expectation][1]
        assert expectation.is_met(firing), f"{expectation.query}: {expectation.rule}, but it is {firing}"


@pytest.mark.parametrize(("runbook", "case"), _ALERTS)
def test_queries_showed_something_else_before_the_fault(
    runbook: str, case: str, rows: Mapping[Expectation, tuple[list[Row], list[Row]]]
) -> None:
    was_met = {item.query: item.is_met(rows[item][0]) for item in expected(runbook, case)}
    assert not all(was_met.values())
    assert not was_met.get(RESOLVED.lower()), "the query of this section does not tell a fault from its end"


def test_results_are_read_as_they_are(tmp_path: Path) -> None:
    queries = [Query(text=text, seconds=STEP) for text in ("a", "b", 'label_replace(a, "c", "", "", "")', "a / 0")]
    labels = {"job": 'x"y, {z}', "path": "\\d"}
    series = 'a{job="x\\"y, {z}",path="\\\\d"}'
    simulation = Simulation(rules=(), metrics={series: lambda now: now, "b{}": lambda _: None}, queries=queries)
    (answer,) = results(binary(), tmp_path, [simulation])
    named = (labels | {"__name__": "a"}, 15.0)
    assert answer == [[named], [], [named], [(labels, float("inf"))]]
