"""Rules, and the file that Prometheus reads them from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

Severity = Literal["page", "ticket", "none"]
"""`page` wakes somebody up, `ticket` waits for the morning, `none` tells nobody."""


@dataclass(frozen=True, kw_only=True)
class RecordingRule:
    """A query whose result is kept under a name."""

    name: str
    query: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """A query that has a result while something is wrong.

    `for_` is how long it must have had one before anybody is told, as Prometheus writes it (`15m`); `dashboard` the
    uid of the dashboard that shows it. What it means and what to do says `dashboards/runbooks/<name>.md`.
    """

    name: str
    query: str
    for_: str
    severity: Severity
    summary: str
    description: str
    dashboard: str
    labels: Mapping[str, str] = field(default_factory=dict)
    service: str = ""
    """The service, where the query's labels do not say it."""


@dataclass(frozen=True, kw_only=True)
class RuleGroup:
    """Rules that are evaluated together, in their order."""

    name: str
    rules: tuple[RecordingRule | AlertRule, ...]


def runbook_uid(alert: str) -> str:
    """Uid of the page in Grafana that has the runbook of an alert."""
    return f"runbook-{alert.lower()}"


# Alerts of one service are told of together, whatever their query calls it. Never empty: Prometheus would show the
# template itself.
_SERVICE: Final = (
    "{{ if $labels.service_name }}{{ $labels.service_name }}{{ else if $labels.job }}{{ $labels.job }}"
    "{{ else }}stack{{ end }}"
)


def rule_file(groups: Iterable[RuleGroup], grafana: str) -> str:
    """Prometheus' rule file, as YAML.

    Args:
        groups: the rules.
        grafana: URL under which people open Grafana; the alerts' links lead there.
    """
    document = {
        "groups": [{"name": group.name, "rules": [_rule(rule, grafana) for rule in group.rules]} for group in groups]
    }
    return yaml.safe_dump(document, sort_keys=False, width=120)


def _rule(rule: RecordingRule | AlertRule, grafana: str) -> dict[str, Any]:
    if isinstance(rule, RecordingRule):
        labels = {"labels": dict(rule.labels)} if rule.labels else {}
        return {"record": rule.name, "expr": rule.query, **labels}
    return {
        "alert": rule.name,
        "expr": rule.query,
        "for": rule.for_,
        "labels": {
            "severity": rule.severity,
            "service": rule.service or rule.labels.get("job", _SERVICE),
            **rule.labels,
        },
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{grafana}/d/{runbook_uid(rule.name)}",
            "dashboard_url": f"{grafana}/d/{rule.dashboard}",
        },
    }
