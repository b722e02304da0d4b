"""Alerts on the proofs of the permanent probe.

Its requests are not served, or they are, and their telemetry is not complete.
"""

from typing import Final

from contracts import endpoints, metrics
from contracts.metrics import STEP
from dashboards.config import MonitoringConfig
from dashboards.queries import equals, exact_increase, exact_increases, series
from dashboards.rules.model import AlertRule, RuleGroup, Severity

_USER_STEPS: Final = f'{STEP}!~"request|task"'
"""The telemetry's steps. They run only after the request was accepted and its task completed: its user is well."""
_NOT_SERVED: Final = series(metrics.PROBE_PROOFS, equals(metrics.RESULT, "no_task"))
_FAILURES: Final = 3
"""A restart of the gateway or of a broker fails one request of the probe, or two."""


def probe(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on the probe; none if the stack has no probe."""
    if config.probe_seconds is None:
        return RuleGroup(name="probe", rules=())
    return RuleGroup(
        name="probe",
        rules=(*_not_served(config.probe_seconds), _incomplete(config.probe_seconds), _silent(config.probe_seconds)),
    )


def _minutes(proofs: int, interval_seconds: int) -> int:
    """Return the minutes within which so many proofs end; at least as many minutes as proofs."""
    return max(proofs, proofs * interval_seconds // 60)


def _not_served(interval_seconds: int) -> tuple[AlertRule, AlertRule]:
    """Return the alerts on requests that end without a completed task: for what the services do not see themselves.

    A request that does not reach the gateway is in no metric of it. The alerts on causes and on users' requests fire
    earlier; while one of them pages, Alertmanager does not send these.
    """
    return (
        # Three of five: the front door fails for most of those who come.
        _requests_fail(_minutes(5, interval_seconds), "page"),
        # It fails for a part of them, for example at one of several pods.
        _requests_fail(_minutes(60, interval_seconds), "ticket"),
    )


def _requests_fail(minutes: int, severity: Severity) -> AlertRule:
    return AlertRule(
        name="ProbeRequestsFail",
        query=f"sum({exact_increases(_NOT_SERVED, f'{minutes}m')}) >= {_FAILURES}",
        for_="0s",
        severity=severity,
        summary="The probe's requests through the front door fail",
        description=f"{{{{ $value | humanize }}}} requests of the probe within {minutes} minutes were not accepted, or"
        " their task was not completed in time. It sends them as a user does.",
        dashboard="tracing-pipeline",
        service=endpoints.PROBE,
    )


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
