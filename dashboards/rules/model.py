"""Rules, and the file from which Prometheus reads them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from dashboards.names import UNCHANGED, Names
from dashboards.rules.impact import CHANGED, OPERATION, USERS, answer
from dashboards.rules.runbook import first_query

Severity = Literal["page", "ticket", "none"]
"""`page` wakes the on-call engineer up, `ticket` waits for the morning, `none` notifies no person."""


@dataclass(frozen=True, kw_only=True)
class RecordingRule:
    """A query whose result is stored as a series."""

    name: str
    query: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """A query that has a result while something is wrong; `dashboards/runbooks/<name>.md` explains it.

    Attributes:
        name: of the alert.
        query: PromQL.
        for_: how long the query must have a result before the alert fires, as Prometheus writes it (`15m`).
        keep_firing_for: how long the alert still fires after the last result; empty if it ends at once. For a value
            that goes up and down around its threshold: without it, the engineer gets a notification at each turn.
        severity: how urgent it is.
        summary: one line; a template of Prometheus.
        description: what it means for the users or the traces; a template of Prometheus.
        dashboard: uid of the dashboard that shows it.
        labels: of the alert, in addition to those of the query's result.
        service: the service that the alert is about, if the labels of the query's result do not name it.
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
    keep_firing_for: str = ""


@dataclass(frozen=True, kw_only=True)
class RuleGroup:
    """Rules that Prometheus evaluates together, in their order."""

    name: str
    rules: tuple[RecordingRule | AlertRule, ...]


def alert_rules(groups: Iterable[RuleGroup]) -> list[AlertRule]:
    """Return the alert rules of the groups, in their order; a name may occur several times."""
    return [rule for group in groups for rule in group.rules if isinstance(rule, AlertRule)]


def runbook_uid(alert: str) -> str:
    """Return the uid of the page in Grafana that has the runbook of an alert."""
    return f"runbook-{alert.lower()}"


def runbook_url(grafana: str, alert: str, names: Names) -> str:
    """Return the URL of that page."""
    return dashboard_url(grafana, runbook_uid(alert), names)


def dashboard_url(grafana: str, uid: str, names: Names) -> str:
    """Return the URL of a dashboard."""
    return f"{grafana}/d/{names.uid(uid)}"


# Alertmanager groups alerts by the label `service`, so every alert has it, also if its query has another label. The
# template is never empty: Prometheus would show the template itself.
_SERVICE: Final = (
    "{{ if $labels.service_name }}{{ $labels.service_name }}{{ else if $labels.job }}{{ $labels.job }}"
    "{{ else }}stack{{ end }}"
)


_ENVIRONMENT: Final = "{{ $externalLabels.environment }}"


@dataclass(frozen=True, kw_only=True)
class YourPrometheus:
    """What a Prometheus that the stack did not build must read in the rules: its own settings differ."""

    environment: str
    """Label of the alerts. The stack's Prometheus has it as an external label."""
    interval_seconds: int
    """Time between two evaluations, in s: the defaults of others, 30 s and more, delay each alert."""


def rule_document(
    groups: Iterable[RuleGroup], grafana: str, yours: YourPrometheus | None = None, names: Names = UNCHANGED
) -> dict[str, Any]:
    """Return the content of Prometheus' rule file.

    Args:
        groups: the rules.
        grafana: URL under which people open Grafana; the alerts' links lead there.
        yours: if the stack did not build the Prometheus that evaluates them.
        names: of the pages in that Grafana.
    """
    interval = {"interval": f"{yours.interval_seconds}s"} if yours else {}
    environment = yours.environment if yours else None
    return {
        "groups": [
            {
                "name": group.name,
                **interval,
                "rules": [_rule(rule, grafana, environment, names) for rule in group.rules],
            }
            for group in groups
        ]
    }


def rule_file(
    groups: Iterable[RuleGroup], grafana: str, yours: YourPrometheus | None = None, names: Names = UNCHANGED
) -> str:
    """Return Prometheus' rule file, as YAML; see `rule_document`."""
    document = rule_document(groups, grafana, yours, names)
    return yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, width=120)


def _rule(rule: RecordingRule | AlertRule, grafana: str, environment: str | None, names: Names) -> dict[str, Any]:
    if isinstance(rule, RecordingRule):
        labels = {"labels": dict(rule.labels)} if rule.labels else {}
        return {"record": rule.name, "expr": rule.query, **labels}
    service = rule.service or rule.labels.get("job", _SERVICE)
    of_environment = {"environment": environment} if environment else {}
    return {
        "alert": rule.name,
        "expr": rule.query,
        "for": rule.for_,
        **({"keep_firing_for": rule.keep_firing_for} if rule.keep_firing_for else {}),
        "labels": {"severity": rule.severity, "service": service, **of_environment, **rule.labels},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "operation": OPERATION,
            "users": USERS,
            "changed": CHANGED,
            "answer": answer(first_query(rule.name)),
            "explain": f"./wct explain {rule.name} --stack {environment or _ENVIRONMENT}",
            "runbook_url": runbook_url(grafana, rule.name, names),
            "dashboard_url": dashboard_url(grafana, rule.dashboard, names),
        },
    }
