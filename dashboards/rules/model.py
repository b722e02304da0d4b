"""Rules, and the file that Prometheus reads them from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml


@dataclass(frozen=True, kw_only=True)
class Record:
    """A query whose result is kept under a name."""

    name: str
    query: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A query that has a result while something is wrong.

    `lasting` is how long it must have had one before anybody is told, as Prometheus writes it (`15m`); `runbook` the
    file in `dashboards/runbooks/` that says what to do.
    """

    name: str
    query: str
    lasting: str
    severity: Literal["page", "ticket"]
    summary: str
    description: str
    runbook: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rules that are evaluated together, in their order."""

    name: str
    rules: tuple[Record | Alert, ...]


def rule_file(groups: Iterable[Group]) -> str:
    """Prometheus' rule file, as YAML."""
    document = {"groups": [{"name": group.name, "rules": [_rule(rule) for rule in group.rules]} for group in groups]}
    return yaml.safe_dump(document, sort_keys=False, width=120)


def _rule(rule: Record | Alert) -> dict[str, Any]:
    if isinstance(rule, Record):
        labels = {"labels": dict(rule.labels)} if rule.labels else {}
        return {"record": rule.name, "expr": rule.query, **labels}
    return {
        "alert": rule.name,
        "expr": rule.query,
        "for": rule.lasting,
        "labels": {"severity": rule.severity},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook": f"dashboards/runbooks/{rule.runbook}",
        },
    }
