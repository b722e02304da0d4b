"""Node graphs: nodes, and arrows between them."""

from dataclasses import astuple, dataclass
from typing import Final

from grafana_foundation_sdk.builders import nodegraph as sdk
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig
from grafana_foundation_sdk.models.nodegraph import ArcOption

from dashboards.panels.shared import ERROR_COLOR, PROMETHEUS, SUCCESS_COLOR, Panel, ref_id, table_query
from dashboards.panels.transformations import complement, copy_number, merge, value_field


@dataclass(frozen=True, kw_only=True)
class NodeGraphStats:
    """PromQL of the numbers of all nodes or of all edges.

    The labels of `rate` are the fields that Grafana expects: `id`, `title` of a node; `id`, `source`, `target`, `color`
    of an edge. An edge whose `id` has a space gets no arrowhead. The other two queries have at least the labels that
    identify the node or the edge.
    """

    rate: str
    p95_ms: str
    failed: str
    """Share of the calls that failed, 0 to 1."""


# Grafana finds these fields by their names, in any case. The transformation that gives them their titles regards the
# case, so that the second number has one title at nodes and another one at edges.
_MAIN: Final = "mainstat"
_SECONDARY_OF_NODE: Final = "secondaryStat"
_SECONDARY_OF_EDGE: Final = "secondarystat"
_FAILED_ARC: Final = "arc__failed"
_SUCCEEDED_ARC: Final = "arc__succeeded"
_FAILED_DETAIL: Final = "detail__failed"
_P95_DETAIL: Final = "detail__p95"

# Shown in the legend, and at a node or an edge that is clicked. The panel ignores overrides, so the details have their
# units here.
_TITLES: Final = {
    _MAIN: "Calls per second",
    _SECONDARY_OF_NODE: "p95",
    _SECONDARY_OF_EDGE: "Failed",
    _FAILED_ARC: "Failed",
    _SUCCEEDED_ARC: "Succeeded",
    _FAILED_DETAIL: "Failed, %",
    _P95_DETAIL: "p95, ms",
}


def node_graph(
    title: str, text: str, nodes: NodeGraphStats, edges: NodeGraphStats, *, width: int = 24, height: int = 14
) -> Panel:
    """Return a node graph.

    A node shows its rate, its p95, and the share of failed calls as a red arc; an edge its rate and that share. A click
    on either shows all three numbers.

    Args:
        title: of the panel.
        text: what the panel answers.
        nodes: the numbers of the nodes.
        edges: the numbers of the edges.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
    """
    panel = (
        sdk.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .nodes(sdk.NodeOptions().main_stat_unit("/s").secondary_stat_unit("ms").arcs(_arcs()))
        .edges(sdk.EdgeOptions().main_stat_unit("/s").secondary_stat_unit("% failed"))
        .transformations(_transformations())
    )
    for index, query in enumerate((*astuple(nodes), *astuple(edges))):
        panel.with_target(table_query(query, index))
    return panel


def _arcs() -> list[Builder[ArcOption]]:
    """Return the colours of the arcs. The panel ignores the colours of field overrides."""
    colors = {_FAILED_ARC: ERROR_COLOR, _SUCCEEDED_ARC: SUCCESS_COLOR}
    return [sdk.ArcOption().field(name).color(color) for name, color in colors.items()]


def _transformations() -> list[DataTransformerConfig]:
    letters = [ref_id(index) for index in range(6)]
    values = [value_field(letter, len(letters)) for letter in letters]
    node_rate, node_p95, node_failed, edge_rate, edge_p95, edge_failed = values
    return [
        merge(letters[:3]),
        merge(letters[3:]),
        copy_number(node_rate, _MAIN),
        copy_number(node_p95, _SECONDARY_OF_NODE),
        copy_number(node_failed, _FAILED_ARC),
        complement(node_failed, _SUCCEEDED_ARC),
        copy_number(node_failed, _FAILED_DETAIL, 100),
        copy_number(edge_rate, _MAIN),
        copy_number(edge_failed, _SECONDARY_OF_EDGE, 100),
        copy_number(edge_p95, _P95_DETAIL),
        # A field keeps its name here, and gets a title.
        DataTransformerConfig(
            id_val="organize",
            options={"excludeByName": dict.fromkeys(("Time", *values), True), "renameByName": _TITLES},
        ),
        # The layout depends on the order, and Prometheus has none: the map would change its shape with each refresh.
        DataTransformerConfig(id_val="sortBy", options={"fields": {}, "sort": [{"field": "id", "desc": True}]}),
    ]
