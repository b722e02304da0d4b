"""The alert on the pod that writes the dashboards into a Grafana that the stack did not build."""

from typing import Final

from contracts import endpoints, metrics
from dashboards.config import MonitoringConfig
from dashboards.rules.model import AlertRule, RuleGroup

_SECONDS: Final = 900
"""It writes every five minutes, and after a failure every 15 s."""


def publisher(config: MonitoringConfig) -> RuleGroup:
    """Return the alert; none if the stack has no such pod."""
    return RuleGroup(name="publisher", rules=(_outdated(),) if config.published else ())


def _outdated() -> AlertRule:
    return AlertRule(
        name="DashboardsOutdated",
        # A pod that never succeeded has the time 0, and one that does not run has no series.
        query=f"time() - (max({metrics.PUBLISHER_SUCCESS}) or vector(0)) > {_SECONDS}",
        # A new pod needs seconds.
        for_="5m",
        severity="ticket",
        summary="The dashboards in your Grafana are not kept up to date",
        description="The pod grafana-publisher has not succeeded for 15 minutes. Dashboards, runbooks and datasources"
        " may be missing, or be those of an earlier version.",
        dashboard="services",
        service=endpoints.GRAFANA_PUBLISHER,
    )
