"""Derives the configuration of the dashboards and rules from the settings of a stack."""

from contracts import endpoints, metrics
from dashboards.config import MonitoringConfig
from stack.components.trace_store.scrape import pods as trace_store_pods
from stack.settings.tree import Settings


def monitoring_config(settings: Settings) -> MonitoringConfig:
    """Return the facts that decide which panels and rules a stack has."""
    services = settings.services
    has_trace_store = settings.traces.external is None
    has_tempo = settings.traces.queried and settings.traces.backend == "tempo"
    has_log_store = settings.logs.enabled and settings.logs.external is None
    return MonitoringConfig(
        trace_backend=settings.traces.backend,
        traces=settings.traces.queried,
        trace_store_scraped=has_trace_store,
        trace_blocks=settings.traces.distributed is not None,
        drilldown=has_tempo and settings.grafana.built and settings.grafana.internet,
        tail_sampling=settings.collector.sampling is not None,
        logs=settings.logs.queried,
        log_store_scraped=has_log_store,
        log_chunks=settings.logs.enabled and settings.logs.object_storage is not None,
        alerting=settings.alerting.enabled,
        alertmanager_scraped=settings.alerting.built,
        prometheus_scraped=settings.metrics.external is None,
        probe_seconds=settings.probe.interval_seconds if settings.has_probe else None,
        published=settings.grafana.published,
        scrape_interval_seconds=settings.metrics.scrape_interval_seconds,
        replicas={name: size.replicas for name, size in services.sizes.items()} if services.enabled else {},
        monitoring_replicas={
            **({endpoints.PROMETHEUS: settings.metrics.replicas} if settings.metrics.external is None else {}),
            **({endpoints.ALERTMANAGER: settings.alerting.replicas} if settings.alerting.built else {}),
            **({metrics.TRACE_STORE_JOB: sum(trace_store_pods(settings.traces).values())} if has_trace_store else {}),
            **({metrics.LOG_STORE_JOB: settings.logs.replicas} if has_log_store else {}),
        },
        objectives=settings.objectives,
        names=settings.grafana.names,
    )
