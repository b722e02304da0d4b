"""The dashboard *Objectives*: are the service level objectives met?"""

from collections.abc import Callable
from functools import partial
from typing import Final

from contracts import metrics
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, PanelFunction, Row
from dashboards.panels import Column, Panel, Query, Thresholds, stat, table, timeseries
from dashboards.queries import series
from dashboards.rules.slo import BURN_RATE_WINDOWS, Objective, error_ratio, requests, tasks, telemetry

ObjectiveFunction = Callable[[MonitoringConfig], Objective | None]
ObjectivePanel = Callable[[Objective], Panel]

# Three objectives fit on the first screen.
_HEIGHT: Final = 6


def good_events(objective: Objective) -> Panel:
    """Share of the events that met the objective."""
    return stat(
        "Good events, last 3 days",
        f"Share of the events of the last 3 days that met the objective: {objective.goal:.2%} {objective.title}.",
        f"1 - {error_ratio(objective, '3d')}",
        unit="percentunit",
        thresholds=Thresholds(objective.goal + objective.budget / 2, objective.goal, rising=False),
        decimals=3,
        width=6,
        height=_HEIGHT,
    )


def used_budget(objective: Objective) -> Panel:
    """Share of the error budget that is used up."""
    return stat(
        "Error budget used, last 3 days",
        "100 % is all that may fail in that time. Above it the objective is missed.",
        _burn_rate(objective, "3d"),
        unit="percentunit",
        thresholds=Thresholds(0.5, 1),
        width=6,
        height=_HEIGHT,
    )


def burn_rate(objective: Objective) -> Panel:
    """How fast the error budget is used up."""
    fastest = BURN_RATE_WINDOWS[0]
    return timeseries(
        "Burn rate",
        "At 1 the error budget of 30 days lasts 30 days. "
        f"Above {fastest.factor:g} for {fastest.long} an alert pages the engineer on call.",
        [Query(expr=_burn_rate(objective, window), legend=window) for window in ("5m", "1h", "6h")],
        unit="short",
        thresholds=Thresholds(None, fastest.factor),
        height=_HEIGHT,
    )


def _burn_rate(objective: Objective, window: str) -> str:
    return f"{error_ratio(objective, window)} / {objective.budget:.6g}"


def firing_alerts(_: MonitoringConfig) -> Panel:
    """Firing and pending alerts."""
    by = {"alertname": "Alert", "severity": "Severity", "alertstate": "State"}
    alerts = series(metrics.ALERTS, 'severity!="none"')
    return table(
        "Firing and pending alerts",
        "Alerts by name, severity and state, without `Watchdog`, which always fires.",
        [Column(title="Alerts", query=f"count by ({', '.join(by)}) ({alerts})", unit="short")],
        by=by,
        normally_empty="no alert fires or is pending.",
    )


def notifications(config: MonitoringConfig) -> Panel | None:
    """Alerts by state, and the notifications that the stack's Alertmanager sent."""
    if not config.alertmanager_scraped:
        return None

    def sent(counter: str) -> str:
        return f"sum by (receiver_name, integration) (increase({counter}[5m]))"

    return timeseries(
        "Alerts and notifications",
        "Alerts in Alertmanager, by state (`suppressed`: silenced or inhibited), and notifications of the last"
        " 5 minutes.",
        [
            Query(expr=f"sum by (state) ({metrics.ALERTMANAGER_ALERTS})", legend="{{state}}"),
            Query(expr=sent(metrics.NOTIFICATIONS), legend="sent to {{receiver_name}} by {{integration}}"),
            Query(expr=sent(metrics.FAILED_NOTIFICATIONS), legend="not sent to {{receiver_name}} by {{integration}}"),
        ],
        unit="short",
        width=24,
        table=True,
    )


def _panels(objective_of: ObjectiveFunction) -> tuple[PanelFunction, ...]:
    return tuple(partial(_panel, panel, objective_of) for panel in (good_events, used_budget, burn_rate))


def _panel(panel: ObjectivePanel, objective_of: ObjectiveFunction, config: MonitoringConfig) -> Panel | None:
    objective = objective_of(config)
    return None if objective is None else panel(objective)


DASHBOARD: Final = Dashboard(
    uid="slo",
    title="Objectives",
    question="Are the service level objectives met, and how long will the error budget last?",
    rows=(
        Row("Requests that succeed", _panels(requests)),
        Row("Tasks that finish in time", _panels(tasks)),
        Row("Telemetry that is visible in time", _panels(telemetry)),
        Row("Alerts and notifications", (firing_alerts, notifications)),
    ),
)
