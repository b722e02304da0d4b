"""Derives the configuration of the dashboards and rules from the settings of a stack."""

from contracts import endpoints
from dashboards.config import MonitoringConfig
from stack.settings.tree import Settings


def monitoring_config(settings: Settings) -> MonitoringConfig:
    """Return the facts that decide which panels and rules a stack has."""
    services = settings.services
    return MonitoringConfig(
        trace_backend=settings.traces.backend,
        tail_sampling=settings.collector.sampling is not None,
        logs=settings.logs.enabled,
        alerting=settings.alerting.enabled,
        scrape_interval_seconds=settings.metrics.scrape_interval_seconds,
        replicas={
            endpoints.GATEWAY: services.gateway.replicas,
            endpoints.TASK_MANAGER: services.task_manager.replicas,
            endpoints.CRAWLER: services.crawler.replicas,
        },
        objectives=settings.objectives,
    )
