"""The dashboard *Dependencies*: who calls whom, and which calls fail?"""

from typing import Final

from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Column, Panel, Query, Thresholds, node_graph, table, timeseries
from dashboards.rules.dependencies import FAILED_CALLS, P95, RATE

_ERROR_RATIO: Final = f"{FAILED_CALLS} / ({RATE} > 0)"
_EDGE: Final = "{{source}} → {{target}}"


def service_map(_: MonitoringConfig) -> Panel:
    """The service map."""
    ends = " or ".join(
        f'label_replace(sum by ({end}) ({RATE}), "id", "$1", "{end}", "(.*)")' for end in ("target", "source")
    )
    return node_graph(
        "Service map",
        "Services, topics, the database and web pages. The numbers are calls per second.",
        nodes=f'label_replace(max by (id) ({ends}), "title", "$1", "id", "(.*)")',
        edges=f'label_join({RATE}, "id", " → ", "source", "target")',
    )


def calls(_: MonitoringConfig) -> Panel:
    """Every edge of the map with its error ratio, rate and duration."""
    return table(
        "Calls of the last minute",
        "The highest error ratio comes first.",
        [
            Column(title="Error ratio", query=_ERROR_RATIO, unit="percentunit", thresholds=Thresholds(0.01, 0.05)),
            Column(title="Rate", query=f"{RATE} > 0", unit="reqps"),
            Column(title="p95", query=f"{P95} >= 0", unit="ms"),
        ],
        by={"source": "From", "target": "To"},
    )


def error_ratio(_: MonitoringConfig) -> Panel:
    """Share of the calls that failed."""
    return timeseries(
        "Error ratio",
        "Share of the calls that failed.",
        [Query(expr=_ERROR_RATIO, legend=_EDGE)],
        unit="percentunit",
        thresholds=Thresholds(None, 0.05),
    )


def p95(_: MonitoringConfig) -> Panel:
    """95th percentile of the calls' duration."""
    return timeseries(
        "p95 duration",
        "95 % of the calls take at most this long.",
        [Query(expr=f"{P95} >= 0", legend=_EDGE)],
        unit="ms",
    )


DASHBOARD: Final = Dashboard(
    uid="dependencies",
    title="Dependencies",
    question="Who calls whom, and which calls fail?",
    rows=(
        Row("Map", (service_map,)),
        Row("Calls", (calls, error_ratio, p95)),
    ),
)
