"""What the dashboards and rules must know of a stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dashboards.names import UNCHANGED, Names
from dashboards.objectives import Objectives


@dataclass(frozen=True, kw_only=True)
class MonitoringConfig:
    """Facts of a stack that decide which panels and rules it has, and where their thresholds are."""

    trace_backend: Literal["tempo", "jaeger"]
    traces: bool
    """Whether Grafana can query the trace store."""
    trace_store_scraped: bool
    """Whether Prometheus scrapes the trace store: the stack built it."""
    trace_blocks: bool
    """Whether Tempo's block builders write the traces to object storage."""
    drilldown: bool
    """Whether Grafana has the app Traces Drilldown: it searches Tempo only, and Grafana downloads it."""
    tail_sampling: bool
    """Whether samplers decide which traces are stored."""
    logs: bool
    """Whether Grafana can query a log store."""
    log_store_scraped: bool
    """Whether Prometheus scrapes the log store: the stack built it."""
    log_chunks: bool
    """Whether Loki writes the log lines to object storage."""
    alerting: bool
    """Whether Prometheus sends its alerts to an Alertmanager."""
    alertmanager_scraped: bool
    """Whether Prometheus scrapes the Alertmanager: the stack built it."""
    prometheus_scraped: bool
    """Whether Prometheus scrapes itself as the job `prometheus`: the stack built it."""
    probe_seconds: int | None
    """Time between two requests of the probe, in s; None if the stack has no probe."""
    published: bool
    """Whether a pod writes the dashboards through the API of a Grafana that the stack did not build."""
    scrape_interval_seconds: int
    replicas: Mapping[str, int]
    """Service of the stack → number of its pods; empty if all services are the users' own."""
    monitoring_replicas: Mapping[str, int]
    """Job of Prometheus, Alertmanager and the stores that the stack built → number of its pods."""
    objectives: Objectives
    names: Names = UNCHANGED
    """Of the datasources, dashboards and runbooks in Grafana."""

    @property
    def services(self) -> tuple[str, ...]:
        """Services of the stack: their metrics, their tasks and their versions have panels and alerts."""
        return tuple(self.replicas)
