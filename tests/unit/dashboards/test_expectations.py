"""What runbooks expect of their queries is well-formed, and compared with a result."""

import pytest

from checks.faults.catalogue import faults
from dashboards.expectations import RESOLVED, RUNBOOKS, Expectation, Row, expectations, find_query, is_met, queries
from tests.support.alert_cases import CASES

FAULTS = faults("jaeger")
ROWS: list[Row] = [({"job": "gateway", "code": "ok"}, 1.0), ({"job": "web-crawler", "code": "ok"}, 0.0)]


@pytest.mark.parametrize("expectation", expectations(), ids=str)
def test_an_expectation_is_about_a_query_and_a_state(expectation: Expectation) -> None:
    query = find_query(expectation.runbook, expectation.query)
    expectation.is_met([])
    if expectation.state in CASES:
        assert CASES[expectation.state].fires(expectation.runbook)
        assert query.language == "promql"
    else:
        fault = FAULTS[expectation.state]
        assert expectation.runbook in fault.alerts | {fault.evidence.runbook}


@pytest.mark.parametrize("runbook", sorted(path.stem for path in RUNBOOKS.glob("*.md")))
def test_every_query_is_run_in_a_case_in_which_its_alert_fires(runbook: str) -> None:
    executed = [
        (find_query(runbook, item.query), item.rule)
        for item in expectations()
        if item.runbook == runbook and item.state in CASES
    ]
    for query in queries(runbook):
        if query.language == "promql":
            rules = [rule for of, rule in executed if of == query]
            assert rules, f"no case runs the query below {query.introduction!r}"
            # A query of the diagnosis that never has a result shows nothing.
            assert query.introduction == RESOLVED or not all(rule.startswith("none") for rule in rules), query


def test_no_fault_of_the_drill_has_the_name_of_a_case() -> None:
    assert not FAULTS.keys() & CASES.keys()


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.evidence.runbook])
def test_the_runbook_of_a_fault_expects_something(name: str) -> None:
    assert expectations(name)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("some", True),
        ("none", False),
        ("none where job=loki", True),
        ("some where job=gateway,code=ok", True),
        ("some where job=gateway,code=unavailable", False),
        ("some > 0.5", True),
        ("some > 1", False),
        ("all >= 0", True),
        ("all > 0", False),
        ("all == 0 where job=web-crawler", True),
        ("all == 0 where job=loki", False),
        ("none > 1", True),
    ],
)
def test_a_result_is_compared(rule: str, expected: bool) -> None:
    assert is_met(rule, ROWS) is expected


@pytest.mark.parametrize("rule", ["", "many", "some > x", "some where", "some >0"])
def test_a_malformed_rule_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="no expectation"):
        is_met(rule, ROWS)


def test_a_query_is_named_by_what_it_shows() -> None:
    assert find_query("ErrorRateHigh", "the operations that fail").text.startswith("sort_desc")
    assert find_query("ErrorRateHigh", "resolved when") == queries("ErrorRateHigh")[-1]


@pytest.mark.parametrize("words", ["the phase of the moon", "the"])
def test_words_that_name_no_query_or_several_are_refused(words: str) -> None:
    with pytest.raises(LookupError, match="queries of ExportFails"):
        find_query("ExportFails", words)
