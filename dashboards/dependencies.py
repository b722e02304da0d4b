"""Who calls whom, and which of it fails?"""

from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Column, Query, Thresholds, node_graph, table, timeseries
from dashboards.rules.dependencies import ERRORS, P95, RATE

_FAILED = f"{ERRORS} / ({RATE} > 0)"


def dependencies() -> Dashboard:
    """The service map, and the same as a table."""
    sides = " or ".join(
        f'label_replace(sum by ({side}) ({RATE}), "id", "$1", "{side}", "(.*)")' for side in ("target", "source")
    )
    nodes = f'label_replace(max by (id) ({sides}), "title", "$1", "id", "(.*)")'
    edges = f'label_join({RATE}, "id", " → ", "source", "target")'
    return Dashboard(
        uid="dependencies",
        title="Dependencies",
        question="Who calls whom, and which of it fails?",
        rows=(
            Row(
                title="Map",
                panels=(
                    node_graph(
                        "Service map",
                        "Services, topics, database and pages; the numbers are calls a second.",
                        nodes,
                        edges,
                    ),
                ),
            ),
            Row(
                title="Edges",
                panels=(
                    table(
                        "Edges of the last minute",
                        "What fails most comes first.",
                        [
                            Column(
                                title="Failed", query=_FAILED, unit="percentunit", thresholds=Thresholds(0.01, 0.05)
                            ),
                            Column(title="Rate", query=f"{RATE} > 0", unit="reqps"),
                            Column(title="p95", query=f"{P95} >= 0", unit="ms"),
                        ],
                        by={"source": "From", "target": "To"},
                    ),
                    timeseries(
                        "Failed",
                        "Share of the calls, by edge.",
                        [Query(expr=_FAILED, legend="{{source}} → {{target}}")],
                        unit="percentunit",
                        thresholds=Thresholds(None, 0.05),
                    ),
                    timeseries(
                        "p95",
                        "95 % of the calls take at most this long, as the span on the edge tells it.",
                        [Query(expr=f"{P95} >= 0", legend="{{source}} → {{target}}")],
                        unit="ms",
                    ),
                ),
            ),
        ),
    )
