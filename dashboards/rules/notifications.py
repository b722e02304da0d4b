"""Alerts on alerting itself: Prometheus, Alertmanager and its receivers."""

from contracts import endpoints, metrics
from contracts.metrics import JOB
from dashboards.config import MonitoringConfig
from dashboards.queries import equals, series
from dashboards.rules.model import AlertRule, RuleGroup


def notifications(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on alerting; what they report may also stop them, so a dead man's switch is needed as well."""
    rules = (
        *((_alertmanager_down(),) if config.alertmanager_scraped else ()),
        *((_alerts_not_sent(),) if config.alerting and config.prometheus_scraped else ()),
        *((_notifications_fail(),) if config.alertmanager_scraped else ()),
    )
    return RuleGroup(name="notifications", rules=rules)


def _alertmanager_down() -> AlertRule:
    return AlertRule(
        name="AlertmanagerDown",
        query=f"(sum({series(metrics.UP, equals(JOB, endpoints.ALERTMANAGER))}) or vector(0)) == 0",
        # Alertmanager restarts within seconds, and cannot send this alert while all its pods are down.
        for_="30s",
        severity="page",
        summary="Alertmanager does not answer",
        description="No notification is sent. Only Prometheus and the dashboards show the alerts.",
        dashboard="services",
        labels={JOB: endpoints.ALERTMANAGER},
    )


def _alerts_not_sent() -> AlertRule:
    prometheus = equals(JOB, endpoints.PROMETHEUS)
    return AlertRule(
        name="AlertsNotSent",
        query=f"increase({series(metrics.DROPPED_NOTIFICATIONS, prometheus)}[2m]) > 0"
        f" or {series(metrics.ALERTMANAGERS, prometheus)} < 1",
        # If Alertmanager restarted, Prometheus has sent the dropped alerts again by then.
        for_="3m",
        severity="page",
        summary="Prometheus cannot send its alerts to Alertmanager",
        description="Prometheus does not find Alertmanager, or dropped alerts that it did not accept.",
        dashboard="services",
    )


def _notifications_fail() -> AlertRule:
    return AlertRule(
        name="NotificationsFail",
        # Alertmanager counts a failure when it gives up its retries.
        query=f"sum by (job, receiver_name, integration, reason) (increase({metrics.FAILED_NOTIFICATIONS}[5m])) > 0",
        for_="0s",
        severity="page",
        summary="Notifications by {{ $labels.integration }} ({{ $labels.receiver_name }}) fail",
        description="{{ $value | humanize }} notifications of the last 5 minutes failed: {{ $labels.reason }}.",
        dashboard="services",
    )
