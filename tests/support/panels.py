"""A dashboard of given panels, as Grafana's JSON model."""

from collections.abc import Sequence
from typing import Any, Final

from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Model, PanelFunction, Row
from dashboards.objectives import Objectives
from dashboards.panels import Panel

CONFIG: Final = MonitoringConfig(
    trace_backend="tempo",
    traces=True,
    trace_store_scraped=True,
    trace_blocks=False,
    drilldown=False,
    tail_sampling=False,
    logs=True,
    log_store_scraped=True,
    log_chunks=False,
    alertmanager_scraped=True,
    prometheus_scraped=True,
    alerting=True,
    scrape_interval_seconds=15,
    published=False,
    probe_seconds=60,
    replicas={},
    monitoring_replicas={},
    objectives=Objectives(),
)


def dashboard_of(*panels: Panel | None, variables: Sequence[Any] = (), title: str = "Up") -> Model:
    """Return the model of a dashboard with these panels in one row."""

    def function(panel: Panel | None) -> PanelFunction:
        return lambda _: panel

    rows = (Row("Row", [function(panel) for panel in panels]),)
    return Dashboard(uid="x", title=title, question="?", rows=rows, variables=variables).model(CONFIG)
