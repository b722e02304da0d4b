"""Node graphs: nodes, and arrows between them."""

from grafana_foundation_sdk.builders import nodegraph as sdk
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

from dashboards.panels.shared import PROMETHEUS, Panel, table_query


def node_graph(title: str, text: str, nodes: str, edges: str, *, width: int = 24, height: int = 14) -> Panel:
    """Return a node graph.

    Args:
        title: of the panel.
        text: what the panel answers.
        nodes: PromQL; its labels are the fields that Grafana expects of a node: `id`, `title`.
        edges: PromQL; its labels are the fields that Grafana expects of an edge: `id`, `source`, `target`.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
    """
    # Grafana takes the number on a node or an edge from the field `mainstat`.
    values = {"Value #A": "mainstat", "Value #B": "mainstat"}
    return (
        sdk.Panel()
        .title(title)
        .description(text)
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .with_target(table_query(nodes, 0))
        .with_target(table_query(edges, 1))
        .transformations(
            [
                DataTransformerConfig(
                    id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": values}
                )
            ]
        )
    )
