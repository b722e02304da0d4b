"""Alerts on the proofs of the permanent probe: the telemetry of a request that served its user is not complete."""

from typing import Final

from contracts import endpoints, metrics
from contracts.metrics import STEP
from dashboards.config import MonitoringConfig
from dashboards.queries import equals, exact_increase, series
from dashboards.rules.model import AlertRule, RuleGroup

_USER_STEPS: Final = f'{STEP}!~"request|task"'
"""The telemetry's steps. They run only after the request was accepted and its task completed: its user is well."""


def probe(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on the probe; none if the stack has no probe."""
    rules = () if config.probe_seconds is None else (_incomplete(config.probe_seconds), _silent(config.probe_seconds))
    return RuleGroup(name="probe", rules=rules)


def _minutes(proofs: int, interval_seconds: int) -> int:
    """Return the minutes within which so many proofs end; at least as many minutes as proofs."""
    return max(proofs, proofs * interval_seconds // 60)


def _incomplete(interval_seconds: int) -> AlertRule:
    failed = series(metrics.PROBE_STEPS, equals(metrics.RESULT, "failed"), _USER_STEPS)
    window = _minutes(5, interval_seconds)
    return AlertRule(
        name="TelemetryIncomplete",
        # A single failure may be a restart of the store.
        query=f"{exact_increase(failed, f'{window}m', STEP)} >= 2",
        for_="0s",
        # ErrorBudgetBurns pages if it lasts.
        severity="ticket",
        summary="The telemetry of a request is incomplete: {{ $labels.step }}",
        description=f"{{{{ $value | humanize }}}} requests of the probe within {window} minutes served their user, but"
        " the step {{ $labels.step }} found nothing in time.",
        dashboard="tracing-pipeline",
        service=endpoints.PROBE,
    )


def _silent(interval_seconds: int) -> AlertRule:
    results = f"sum(increase({metrics.PROBE_PROOFS}[{_minutes(5, interval_seconds)}m]))"
    return AlertRule(
        name="ProbeSilent",
        query=f"({results} or vector(0)) == 0",
        for_="10m",
        severity="ticket",
        summary="The probe gives no results",
        description="Nothing checks whether the telemetry is complete and visible.",
        dashboard="tracing-pipeline",
        service=endpoints.PROBE,
    )
