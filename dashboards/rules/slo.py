"""Service level objectives, and alerts on how fast their error budgets are used up.

Each alert looks at two windows, so that it also ends soon. The factors and windows are those of Google's SRE workbook,
chapter 5: 2 % of a month's budget in an hour, 5 % in six hours, 10 % in three days.
"""

from dataclasses import dataclass
from typing import Final

from contracts import endpoints, metrics, service_metrics
from contracts.metrics import JOB, STATUS
from contracts.services import GATEWAY, TASK_MANAGER
from dashboards.config import MonitoringConfig
from dashboards.queries import ENTRY_SPAN, OF_USERS, SUCCESSFUL_SPAN, USER_ROUTES, buckets, equals, series
from dashboards.rules.model import AlertRule, RecordingRule, RuleGroup, Severity

ERRORS: Final = "slo_errors:ratio"
"""Share of a window's events that missed the objective; labels `slo`, `window`."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A promise: the share `goal` of all events is good."""

    name: str
    title: str
    goal: float
    service: str
    """The service that the alerts are about; empty if they are about all."""
    good: str
    """Selector of the counter of good events."""
    events: str
    """Selector of the counter of all events."""

    @property
    def budget(self) -> float:
        """Share of the events that may miss the objective."""
        return 1 - self.goal


@dataclass(frozen=True, kw_only=True)
class BurnRateWindow:
    """An alert fires if the budget of 30 days is used up `factor` times too fast, in the long and the short window."""

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


def requests(config: MonitoringConfig) -> Objective:
    """Return the objective of the users' requests to the gateway; without one, of what enters their services."""
    if not config.services:
        return Objective(
            name="requests",
            service="",
            title="requests and messages that succeed",
            goal=config.objectives.availability,
            good=series(metrics.SPAN_CALLS, ENTRY_SPAN, SUCCESSFUL_SPAN),
            events=series(metrics.SPAN_CALLS, ENTRY_SPAN),
        )
    gateway = equals(JOB, GATEWAY)
    return Objective(
        name="requests",
        service=GATEWAY,
        title="requests that succeed",
        goal=config.objectives.availability,
        good=series(service_metrics.HTTP_REQUESTS, gateway, USER_ROUTES, OF_USERS, f'{STATUS}!~"5.."'),
        events=series(service_metrics.HTTP_REQUESTS, gateway, USER_ROUTES, OF_USERS),
    )


def tasks(config: MonitoringConfig) -> Objective | None:
    """Return the objective of the users' tasks; None without the task-manager."""
    if not config.services:
        return None
    return Objective(
        name="tasks",
        service=TASK_MANAGER,
        title=f"tasks that end within {config.objectives.task_seconds} s",
        goal=config.objectives.tasks_in_time,
        good=tasks_in_time(config),
        events=series(f"{service_metrics.TASK_DURATION}_count", OF_USERS),
    )


def tasks_in_time(config: MonitoringConfig) -> str:
    """Return the selector of the counter of users' tasks that end within the objective."""
    return buckets(service_metrics.TASK_DURATION, OF_USERS, equals("le", float(config.objectives.task_seconds)))


def telemetry(config: MonitoringConfig) -> Objective | None:
    """Return the objective of the telemetry, which the probe measures; None without a probe.

    A proof whose task was not done is no event: nothing is known of its telemetry.
    """
    if config.probe_seconds is None:
        return None
    seconds = config.objectives.visible_seconds
    return Objective(
        name="telemetry",
        service=endpoints.PROBE,
        title=f"requests whose telemetry is complete and visible within {seconds} s",
        goal=config.objectives.telemetry_visible,
        good=buckets(metrics.PROBE_COMPLETE, equals("le", float(seconds))),
        events=series(metrics.PROBE_PROOFS, f'{metrics.RESULT}=~"complete|incomplete"'),
    )


def error_ratio(objective: Objective, window: str) -> str:
    """Return the query of the share of a window's events that missed the objective."""
    return series(ERRORS, equals("slo", objective.name), equals("window", window))


def slo(config: MonitoringConfig) -> RuleGroup:
    """Return the error ratios of all windows, and the alerts on them."""
    objectives = [objective for of in (requests, tasks, telemetry) if (objective := of(config)) is not None]
    records = (_error_ratio(objective, window) for objective in objectives for window in WINDOWS)
    alerts = (_budget_burns(objective, window) for objective in objectives for window in BURN_RATE_WINDOWS)
    return RuleGroup(name="slo", rules=(*records, *alerts))


def _error_ratio(objective: Objective, window: str) -> RecordingRule:
    good, events = (f"sum(rate({counter}[{window}]))" for counter in (objective.good, objective.events))
    return RecordingRule(
        name=ERRORS,
        query=f"1 - ({good} or vector(0)) / ({events} > 0)",
        labels={"slo": objective.name, "window": window},
    )


def _budget_burns(objective: Objective, burn: BurnRateWindow) -> AlertRule:
    limit = burn.factor * objective.budget
    bad = f"sum(increase({objective.events}[{burn.long}])) * on () {error_ratio(objective, burn.long)}"
    return AlertRule(
        name="ErrorBudgetBurns",
        # With little traffic, a single failure uses up the budget of an hour.
        query=" and on () ".join(
            (*(f"{error_ratio(objective, window)} > {limit:.6g}" for window in (burn.long, burn.short)), f"{bad} >= 3")
        ),
        for_=burn.for_,
        # The short window has good minutes while the budget still burns.
        keep_firing_for=burn.short,
        severity=burn.severity,
        summary=f"The error budget of {objective.title} is used up {burn.factor:g} times too fast",
        description=f"{{{{ $value | humanizePercentage }}}} of the events of the last {burn.long} missed the objective,"
        f" which allows {objective.budget:.3%}.",
        dashboard="slo",
        labels={"slo": objective.name, "window": burn.long},
        service=objective.service,
    )
