"""Marks over all panels of a dashboard: alerts, starts of pods, and rollouts."""

from typing import Any, Final

from contracts import endpoints, metrics
from contracts.metrics import INSTANCE, JOB, TRACK
from dashboards.config import MonitoringConfig
from dashboards.queries import SERVICE_JOBS, equals, series
from dashboards.rules.runbook_links import RUNBOOK, RUNBOOK_LINK

_ALERT_NAME: Final = "alertname"
_SEVERITY: Final = "severity"
# Translucent: the lines of a hundred marks must leave a graph readable.
_ALERT_COLOR: Final = "rgba(242, 73, 92, 0.4)"
_START_COLOR: Final = "rgba(87, 148, 242, 0.5)"
_ROLLOUT_COLOR: Final = "rgba(184, 119, 217, 0.5)"
_PROMETHEUS: Final = {"type": "prometheus", "uid": endpoints.PROMETHEUS_UID}


def annotations(config: MonitoringConfig) -> list[dict[str, Any]]:
    """Return Grafana's annotation queries; the SDK has no fields for the texts of Prometheus' annotations."""
    alert = f"{_ALERT_NAME}, {_SEVERITY}, service"
    firing = series(metrics.ALERTS, equals("alertstate", "firing"), f'{_SEVERITY}!="none"')
    since = f"min by ({alert}) ({metrics.ALERT_SINCE}) and on ({alert}) {firing}"
    return [
        _annotation(
            "Alerts",
            # One line where the alert began. A region for as long as it fires would cover the graphs.
            f"({since}) * 1000 * on ({_ALERT_NAME}) group_left ({RUNBOOK}) {RUNBOOK_LINK}",
            color=_ALERT_COLOR,
            title=f"{{{{{_ALERT_NAME}}}}}",
            # Relative, so that it works under a path, too: Grafana's pages have a base URL.
            text=f'{{{{{_SEVERITY}}}}}, {{{{service}}}}. <a href="d/{{{{{RUNBOOK}}}}}">Runbook</a>',
            tags=(_SEVERITY, "service"),
            at_value=True,
        ),
        *(_of_services(config) if config.services else ()),
    ]


def _of_services(config: MonitoringConfig) -> tuple[dict[str, Any], ...]:
    """Return the marks of the stack's own services: their starts and their rollouts."""
    started = series(metrics.PROCESS_START, SERVICE_JOBS)
    canary = series(metrics.UP, SERVICE_JOBS, equals(TRACK, "canary"))
    return (
        _annotation(
            "Starts of services",
            # By pod: the maximum of several falls when the youngest ends, which Grafana draws as a region.
            f"max by ({JOB}, {TRACK}, {INSTANCE}) ({started}) * 1000",
            color=_START_COLOR,
            title=f"{{{{{JOB}}}}} started",
            text=f"{{{{{TRACK}}}}} {{{{{INSTANCE}}}}}: a deployment, a rollout or a crash.",
            tags=(JOB,),
            at_value=True,
        ),
        _annotation(
            "Rollouts",
            f"count by ({JOB}) ({canary})",
            color=_ROLLOUT_COLOR,
            title=f"Canary of {{{{{JOB}}}}}",
            text=f'A rollout compares it with the old version. <a href="d/{config.names.uid("rollout")}">Rollout</a>',
            tags=(JOB,),
        ),
    )


def _annotation(
    name: str, query: str, *, color: str, title: str, text: str, tags: tuple[str, ...], at_value: bool = False
) -> dict[str, Any]:
    """Return an annotation query; `at_value` takes the value as the time in ms."""
    return {
        "name": name,
        "datasource": _PROMETHEUS,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": query,
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": ",".join(tags),
        "useValueForTime": at_value,
        "target": {"refId": "Anno", "expr": query},
    }
