"""Selects the rules whose results a change of some metrics can change.

A rule that reads no changed metric has the result that it has in a healthy stack. Without these rules, most cases take
a tenth of the time.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dashboards.rules import AlertRule, RecordingRule, RuleGroup
from tests.support.promtool import Metrics


def reads(query: str, metrics: Iterable[str]) -> bool:
    """Return whether a query names one of the metrics, or selects one by a pattern."""
    names, patterns = _selectors(query)
    return any(metric in names or any(pattern.fullmatch(metric) for pattern in patterns) for metric in metrics)


@functools.cache
def _selectors(query: str) -> tuple[frozenset[str], tuple[re.Pattern[str], ...]]:
    """Return all names in a query, those of labels and functions too, and the patterns of names."""
    assert not re.search(r"__name__\s*!", query), f"selects all metrics but some: {query}"
    patterns = re.findall(r'__name__\s*=~\s*"([^"]*)"', query)
    return frozenset(re.findall(r"[a-zA-Z_:][\w:]*", query)), tuple(map(re.compile, patterns))


def changed_metrics(healthy: Metrics, faulty: Metrics) -> set[str]:
    """Return the names of the metrics of the series that a case added, removed or changed."""
    return {_metric(series) for series in {**healthy, **faulty} if healthy.get(series) is not faulty.get(series)}


def needed(metrics: Metrics, groups: Iterable[RuleGroup], queries: Iterable[str] = ()) -> Metrics:
    """Return the series that the rules and the queries read."""
    queries = {*queries, *(rule.query for group in groups for rule in group.rules)}
    return {
        series: value for series, value in metrics.items() if any(reads(query, [_metric(series)]) for query in queries)
    }


def _metric(series: str) -> str:
    return series.partition("{")[0]


def affected(groups: Sequence[RuleGroup], changed: Iterable[str]) -> tuple[RuleGroup, ...]:
    """Return the rules that read changed metrics, also through recording rules, and the recording rules that they read.

    Args:
        groups: all rules of a stack.
        changed: names of the metrics that are not as in a healthy stack.
    """
    rules = [rule for group in groups for rule in group.rules]
    kept: list[AlertRule | RecordingRule] = []
    metrics = set(changed)
    while new := [rule for rule in rules if rule not in kept and reads(rule.query, metrics)]:
        kept += new
        metrics = {rule.name for rule in new if isinstance(rule, RecordingRule)}
    return _selection(groups, kept)


def inputs(groups: Sequence[RuleGroup], queries: Iterable[str]) -> tuple[RuleGroup, ...]:
    """Return the rules whose results the queries read, also through recording rules.

    Args:
        groups: all rules of a stack.
        queries: PromQL. One that selects an alert in `ALERTS` names it.
    """
    texts = list(queries)
    return _selection(
        groups,
        [
            rule
            for group in groups
            for rule in group.rules
            if any(
                reads(text, [rule.name])
                if isinstance(rule, RecordingRule)
                else reads(text, ["ALERTS"]) and f'"{rule.name}"' in text
                for text in texts
            )
        ],
    )


def _selection(groups: Sequence[RuleGroup], rules: Iterable[AlertRule | RecordingRule]) -> tuple[RuleGroup, ...]:
    """Return the groups with these rules only, and with the recording rules that they read."""
    kept = list(rules)
    while new := [
        rule
        for group in groups
        for rule in group.rules
        if isinstance(rule, RecordingRule)
        and rule not in kept
        and any(reads(reader.query, [rule.name]) for reader in kept)
    ]:
        kept += new
    selection = (replace(group, rules=tuple(rule for rule in group.rules if rule in kept)) for group in groups)
    return tuple(group for group in selection if group.rules)
