"""The selection of rules for a case leaves out no rule whose result the case can change."""

from dashboards.rules import AlertRule, RecordingRule, RuleGroup
from tests.support.rule_selection import affected, changed_metrics, inputs, needed

GROUPS = (
    RuleGroup(
        name="first",
        rules=(
            RecordingRule(name="a:rate", query="rate(a_total[1m])"),
            RecordingRule(name="b:rate", query="rate(b_total[1m])"),
            RecordingRule(name="c:rate", query='rate({__name__=~"c_.*_total|d"}[1m])'),
        ),
    ),
    RuleGroup(name="second", rules=(RecordingRule(name="a:ratio", query="a:rate / b:rate"),)),
)


def _selected(*changed: str) -> list[str]:
    return [rule.name for group in affected(GROUPS, changed) for rule in group.rules]


def test_readers_of_a_changed_metric_are_selected_with_all_that_they_read() -> None:
    assert _selected("a_total") == ["a:rate", "b:rate", "a:ratio"]
    assert _selected("c_new_total") == ["c:rate"]
    assert _selected("d", "b:rate") == ["a:rate", "b:rate", "c:rate", "a:ratio"]
    assert _selected("a") == _selected("a_total_2") == _selected() == []


def test_a_series_that_came_went_or_changed_is_a_change() -> None:
    def value(_: float) -> float:
        return 1.0

    healthy = {'a{x="1"}': value, 'b{x="1"}': value, "c": value}
    assert changed_metrics(healthy, healthy) == set()
    assert changed_metrics(healthy, {"c": lambda _: 2.0, 'b{x="1"}': value, "d": value}) == {"a", "c", "d"}


def test_series_of_the_selected_rules_are_needed() -> None:
    series = dict.fromkeys(('a_total{x="1"}', 'b_total{x="2"}', "a", "c_x_total"), lambda _: 1.0)
    assert list(needed(series, affected(GROUPS, ["a_total"]))) == ['a_total{x="1"}', 'b_total{x="2"}']
    assert list(needed(series, (), ["b_total"])) == ['b_total{x="2"}']


def test_the_rules_that_a_query_reads_are_selected_with_all_that_they_read() -> None:
    alert = AlertRule(
        name="Late",
        query="b:rate > 1",
        for_="1m",
        severity="page",
        summary="",
        description="",
        dashboard="services",
    )
    rules = (*GROUPS, RuleGroup(name="alerts", rules=(alert,)))

    def selected(*queries: str) -> list[str]:
        return [rule.name for group in inputs(rules, queries) for rule in group.rules]

    assert selected("a:ratio > 1") == ["a:rate", "b:rate", "a:ratio"]
    assert selected("a_total", 'c:rate{job="Late"}') == ["c:rate"]
    assert selected('ALERTS{alertname="Late"}') == ["b:rate", "Late"]
    assert selected("up", 'ALERTS{alertname="Other"}') == []
