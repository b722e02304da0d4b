"""Do we keep what we promise?"""

from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Column, Query, Thresholds, stat, table, timeseries
from dashboards.rules.slo import BURN_RATE_WINDOWS, ERRORS, Objective, objectives
from stack.settings import Settings


def slo(settings: Settings) -> Dashboard:
    """Each objective: how much was good, how fast its error budget goes; and the alerts of now."""
    return Dashboard(
        uid="slo",
        title="Objectives",
        question="Do we keep what we promise, and how long will the error budget last?",
        rows=(
            *(_objective(objective) for objective in objectives(settings)),
            Row(
                title="Alerts",
                panels=(
                    table(
                        "Firing and pending",
                        "1 fires, by name and severity; `Watchdog` always does, and shows that alerting works.",
                        [
                            Column(
                                title="Alerts",
                                query="count by (alertname, severity, alertstate) (ALERTS)",
                                unit="short",
                            )
                        ],
                        by={"alertname": "Alert", "severity": "Severity", "alertstate": "State"},
                    ),
                ),
            ),
        ),
    )


def _objective(objective: Objective) -> Row:
    budget = 1 - objective.goal
    fastest = BURN_RATE_WINDOWS[0].factor

    def burn(window: str) -> str:
        return f'{ERRORS}{{slo="{objective.name}",window="{window}"}} / {budget:.6g}'

    return Row(
        title=f"{objective.goal:.2%} {objective.title}",
        panels=(
            stat(
                "Good, three days",
                "Share of the events of the last three days that kept the promise.",
                f'1 - {ERRORS}{{slo="{objective.name}",window="3d"}}',
                unit="percentunit",
                thresholds=Thresholds(objective.goal + budget / 2, objective.goal, rising=False),
                decimals=3,
                width=6,
                height=8,
            ),
            stat(
                "Budget used up, three days",
                "1 is as much as may be missed in that time; above it the promise is broken.",
                burn("3d"),
                unit="percentunit",
                thresholds=Thresholds(0.5, 1),
                width=6,
                height=8,
            ),
            timeseries(
                "How fast the budget burns",
                f"1 lasts exactly as long as it must; above {fastest:g} for an hour somebody is woken.",
                [Query(expr=burn(window), legend=window) for window in ("5m", "1h", "6h")],
                unit="short",
                thresholds=Thresholds(None, fastest),
            ),
        ),
    )
