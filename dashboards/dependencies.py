"""The dashboard *Dependencies*: who calls whom, and which calls fail?"""

from typing import Final

from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row
from dashboards.panels import (
    ERROR_COLOR,
    SUCCESS_COLOR,
    Column,
    NodeGraphStats,
    Panel,
    Query,
    Thresholds,
    node_graph,
    per_second,
    table,
    timeseries,
)
from dashboards.rules.dependencies import FAILED_CALLS, MAX_ERROR_RATIO, P95, RATE

_ERROR_RATIO: Final = f"{FAILED_CALLS} / ({RATE} > 0)"
# Fewer rows cut the circles at the top and at the bottom off.
_FIRST_SCREEN: Final = 18
_EDGE: Final = "{{source}} → {{target}}"


def _of_nodes(query: str, aggregation: str) -> str:
    """Return a query of the edges as one of the nodes: the calls to the node, or those from it if nothing calls it."""
    to_node, from_node = (
        f'{aggregation} by (id) (label_replace({query}, "id", "$1", "{end}", "(.*)"))' for end in ("target", "source")
    )
    return f"{to_node} or {from_node}"


def _colored(edges: str) -> str:
    """Return the edges with the label `color`: red where more calls fail than the alert allows."""
    failing = f'label_replace({edges} and {_ERROR_RATIO} > {MAX_ERROR_RATIO}, "color", "{ERROR_COLOR}", "", "")'
    working = f'label_replace({edges}, "color", "{SUCCESS_COLOR}", "", "")'
    return f"{failing} or on (source, target) {working}"


def service_map(_: MonitoringConfig) -> Panel:
    """The service map."""
    failed, rate = _of_nodes(FAILED_CALLS, "sum"), _of_nodes(RATE, "sum")

    def titled(query: str) -> str:
        return f'label_replace({query}, "title", "$1", "id", "(.*)")'

    def edges(query: str) -> str:
        return f'label_join({query}, "id", "→", "source", "target")'

    return node_graph(
        "Service map",
        "Services, topics, the database and web pages. A circle has the calls per second and their p95; its red part is"
        " the share of failed calls. An arrow has the calls per second and the share that failed.",
        nodes=NodeGraphStats(
            rate=titled(rate),
            p95_ms=titled(_of_nodes(f"({P95} >= 0)", "max")),
            # Without a call no call failed; Grafana draws no circle without a number.
            failed=titled(f"(({failed}) / (({rate}) > 0) or ({rate}) * 0)"),
        ),
        edges=NodeGraphStats(rate=edges(_colored(RATE)), p95_ms=edges(f"({P95} >= 0)"), failed=edges(_ERROR_RATIO)),
        width=15,
        height=_FIRST_SCREEN,
    )


def calls(_: MonitoringConfig) -> Panel:
    """Every edge of the map with its error ratio, rate and duration."""
    return table(
        "Calls of the last minute",
        "The highest share of failures comes first.",
        [
            Column(
                title="Failed",
                query=_ERROR_RATIO,
                unit="percentunit",
                thresholds=Thresholds(MAX_ERROR_RATIO / 5, MAX_ERROR_RATIO),
            ),
            Column(title="Rate", query=f"{RATE} > 0", unit=per_second("")),
            Column(title="p95", query=f"{P95} >= 0", unit="ms"),
        ],
        by={"source": "From", "target": "To"},
        wrapped=True,
        width=9,
        height=_FIRST_SCREEN,
    )


def error_ratio(_: MonitoringConfig) -> Panel:
    """Share of the calls that failed."""
    return timeseries(
        "Error ratio",
        "Share of the calls that failed.",
        [Query(expr=_ERROR_RATIO, legend=_EDGE)],
        unit="percentunit",
        thresholds=Thresholds(None, MAX_ERROR_RATIO),
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
        Row("Now", (service_map, calls)),
        Row("Over time", (error_ratio, p95)),
    ),
)
