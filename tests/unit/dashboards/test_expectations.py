"""What runbooks expect of their queries is well-formed, and compared with a result."""

import pytest

from checks.faults.catalogue import faults
from dashboards.expectations import Expectation, Row, expectations, find_query, is_met, queries

FAULTS = faults("jaeger")
ROWS: list[Row] = [({"job": "gateway", "code": "ok"}, 1.0), ({"job": "web-crawler", "code": "ok"}, 0.0)]


@pytest.mark.parametrize("expectation", expectations(), ids=str)
def test_an_expectation_is_about_a_query_and_a_fault(expectation: Expectation) -> None:
    assert find_query(expectation.runbook, expectation.query).text
    fault = FAULTS[expectation.fault]
    assert expectation.runbook in fault.alerts | {fault.evidence.runbook}
    expectation.is_met([])


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
