"""The way from an alert to a person: Prometheus, the Alertmanager, its receivers."""

from dashboards.rules.model import AlertRule, RuleGroup
from stack.settings import Settings


def notifications(settings: Settings) -> tuple[RuleGroup, ...]:
    """Alerts on the alerts. What they tell of may be what keeps them from being told: see the heartbeat."""
    if not settings.alerting.enabled:
        return ()
    return (
        RuleGroup(
            name="notifications",
            rules=(
                AlertRule(
                    name="AlertmanagerDown",
                    query='(min(up{job="alertmanager"}) or vector(0)) == 0',
                    # It tells nobody of this by itself, and begins anew within seconds.
                    for_="30s",
                    severity="page",
                    summary="The Alertmanager does not answer",
                    description="Nobody is told of any alert; they are seen in Prometheus and on the dashboards only.",
                    dashboard="services",
                    labels={"job": "alertmanager"},
                ),
                AlertRule(
                    name="AlertsNotSent",
                    query='increase(prometheus_notifications_dropped_total{job="prometheus"}[2m]) > 0'
                    ' or prometheus_notifications_alertmanagers_discovered{job="prometheus"} < 1',
                    # What was dropped while the Alertmanager began anew has been sent again by then.
                    for_="3m",
                    severity="page",
                    summary="Prometheus cannot hand its alerts over",
                    description="It does not find the Alertmanager, or gave up what that did not take.",
                    dashboard="services",
                ),
                AlertRule(
                    name="NotificationsFail",
                    # Counted when one is given up for this time; until then it is tried again.
                    query="sum by (job, receiver_name, integration, reason)"
                    " (increase(alertmanager_notifications_failed_total[5m])) > 0",
                    for_="0s",
                    severity="page",
                    summary="Notifications by {{ $labels.integration }} ({{ $labels.receiver_name }}) do not arrive",
                    description="Within five minutes {{ $value | humanize }} were given up: {{ $labels.reason }}.",
                    dashboard="services",
                ),
            ),
        ),
    )
