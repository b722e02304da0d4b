"""Service level objectives: how fast the error budget goes, over two windows each so that an alert also ends soon.

The factors and windows are those of Google's SRE workbook, chapter 5: 2 % of a month's budget in an hour, 5 % in six
hours, 10 % in three days.
"""

from dataclasses import dataclass
from typing import Final

from contracts import endpoints
from dashboards.queries import ASKED
from dashboards.rules.model import AlertRule, RecordingRule, RuleGroup, Severity
from stack.settings import Settings

ERRORS: Final = "slo_errors:ratio"
"""Share of the events of a window that missed the objective; labels `slo`, `window`."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is promised: `goal` of all events are good ones."""

    name: str
    title: str
    goal: float
    service: str
    good: str
    """Selector of a counter."""
    events: str
    dashboard: str


@dataclass(frozen=True, kw_only=True)
class BurnRateWindow:
    """How fast a budget of 30 days may go: `factor` times as fast as it would last exactly as long."""

    factor: float
    long: str
    short: str
    for_: str
    severity: Severity


BURN_RATE_WINDOWS: Final = (
    BurnRateWindow(factor=14.4, long="1h", short="5m", for_="1m", severity="page"),
    BurnRateWindow(factor=6, long="6h", short="30m", for_="2m", severity="page"),
    BurnRateWindow(factor=1, long="3d", short="6h", for_="30m", severity="ticket"),
)
WINDOWS: Final = ("5m", "30m", "1h", "6h", "3d")


def objectives(settings: Settings) -> tuple[Objective, ...]:
    """What the stack promises its users."""
    goals = settings.objectives
    requests = f'job="{endpoints.GATEWAY}",{ASKED}'
    in_time = f'task_duration_seconds_bucket{{le="{float(goals.task_seconds)}"}}'
    return (
        Objective(
            name="requests",
            service=endpoints.GATEWAY,
            title="requests that do not fail",
            goal=goals.availability,
            good=f'http_server_requests_total{{{requests},status!~"5.."}}',
            events=f"http_server_requests_total{{{requests}}}",
            dashboard="slo",
        ),
        Objective(
            name="tasks",
            service=endpoints.TASK_MANAGER,
            title=f"tasks that end within {goals.task_seconds} s",
            goal=goals.tasks_in_time,
            good=in_time,
            events="task_duration_seconds_count",
            dashboard="slo",
        ),
    )


def slo(settings: Settings) -> tuple[RuleGroup, ...]:
    """The ratios of all windows, and the alerts on them."""
    promised = objectives(settings)
    records = tuple(
        RecordingRule(
            name=ERRORS,
            query=f"1 - (sum(rate({objective.good}[{window}])) or vector(0))"
            f" / (sum(rate({objective.events}[{window}])) > 0)",
            labels={"slo": objective.name, "window": window},
        )
        for objective in promised
        for window in WINDOWS
    )
    alerts = tuple(
        AlertRule(
            name="ErrorBudgetBurns",
            query=" and on () ".join(
                f'{ERRORS}{{slo="{objective.name}",window="{window}"}} > {burn.factor * (1 - objective.goal):.6g}'
                for window in (burn.long, burn.short)
            ),
            for_=burn.for_,
            severity=burn.severity,
            summary=f"The error budget of {objective.title} burns {burn.factor:g} times too fast",
            description=f"{{{{ $value | humanizePercentage }}}} missed within {burn.long}; "
            f"{1 - objective.goal:.3%} would be in order.",
            dashboard=objective.dashboard,
            labels={"slo": objective.name, "window": burn.long},
            service=objective.service,
        )
        for objective in promised
        for burn in BURN_RATE_WINDOWS
    )
    return (RuleGroup(name="slo", rules=(*records, *alerts)),)
