"""What Grafana draws from the answers of a panel's queries has the declared columns and fields."""

import re
from typing import Final

import pytest

from checks.dashboards.panels import Panel, panels
from checks.dashboards.sources import Answer
from checks.dashboards.transformations import Frame, Row, result
from dashboards.catalog import dashboards
from dashboards.panels import Column, NodeGraphStats, Thresholds, node_graph, table
from dashboards.panels import Panel as PanelBuilder
from stack.clients.prometheus import Series
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.panels import dashboard_of

STACKS: Final = ("local", "dev", "staging", "prod")
_GROUPED: Final = re.compile(r"max by \(([\w, ]+)\) \(")


def series(value: float, **labels: str) -> Series:
    return Series(labels=labels, points=((1.0, value),))


def drawn_tables(stack: str) -> list[Panel]:
    return [
        panel
        for model in dashboards(monitoring_config(load(stack))).values()
        for panel in panels(model)
        if panel.type == "table" and panel.targets[0]["datasource"]["type"] == "prometheus"
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_every_table_has_its_columns_a_row_for_each_set_of_labels_and_its_order(stack: str) -> None:
    for panel in drawn_tables(stack):
        answers = []
        for target in panel.targets:
            match = _GROUPED.match(target["expr"])
            assert match, f"{panel.title}: every query is grouped, so that no other label reaches the table"
            labels = match[1].split(", ")
            answers.append(
                Answer(series=tuple(series(n, **{label: f"{label} {n}" for label in labels}) for n in (1, 3, 2)))
            )
        (frame,) = result(panel, answers)
        overrides = panel.model["fieldConfig"]["overrides"]
        named = {override["matcher"]["options"] for override in overrides if override["matcher"]["id"] == "byName"}
        assert named <= set(frame.columns), panel.title
        assert len(frame.columns) == len(labels) + len(answers), panel.title
        assert not any(re.fullmatch(r"Value( #\w)?|Time|__\w+", column) for column in frame.columns), panel.title
        assert [row[frame.fields[-len(answers)]] for row in frame.rows] == [3, 2, 1], panel.title


def first_panel(builder: PanelBuilder) -> Panel:
    (_, panel) = panels(dashboard_of(builder))
    return panel


def test_a_table_with_one_query_has_its_title_and_is_sorted() -> None:
    panel = first_panel(table("t", "It.", [Column(title="Alerts", query="x", unit="short")], by={"a": "A"}))
    (frame,) = result(panel, [Answer(series=(series(1, a="x"), series(2, a="y")))])
    assert frame.columns == ["A", "Alerts"]
    assert [row["a"] for row in frame.rows] == ["y", "x"]


def test_rows_of_several_queries_join() -> None:
    columns = [
        Column(title="Failed", query="f", unit="percentunit", thresholds=Thresholds(None, 1)),
        Column(title="Rate", query="r", unit="short"),
    ]
    panel = first_panel(table("t", "It.", columns, by={"a": "A"}))
    failed, rate = Answer(series=(series(0.1, a="x"),)), Answer(series=(series(5, a="x"), series(7, a="y")))
    (frame,) = result(panel, [failed, rate])
    assert frame.columns == ["A", "Failed", "Rate"]
    assert len(frame.rows) == 2
    (kept,) = result(panel, [failed, Answer(series=(series(5, a="x", __name__="r"),))])
    assert "__name__" in kept.columns, "the simulation shows what a name that is kept does"


def test_an_empty_query_leaves_its_column_empty() -> None:
    columns = [Column(title="Failed", query="f", unit="percentunit"), Column(title="Rate", query="r", unit="short")]
    panel = first_panel(table("t", "It.", columns, by={"a": "A"}))
    (frame,) = result(panel, [Answer(), Answer(series=(series(5, a="x"),))])
    assert frame.columns == ["A", "Rate"]


def test_a_node_graph_has_the_fields_that_grafana_finds_by_name() -> None:
    stats = NodeGraphStats(rate="r", p95_ms="p", failed="f")
    panel = first_panel(node_graph("map", "It.", stats, stats))
    node, edge = {"id": "a", "title": "a"}, {"id": "a→b", "source": "a", "target": "b"}

    def answers(**labels: str) -> list[Answer]:
        return [Answer(series=(series(value, **labels),)) for value in (2.0, 30.0, 0.25)]

    drawn = result(panel, [*answers(**node), *answers(**edge)])
    edges, nodes = (shown(drawn, of_edges) for of_edges in (True, False))
    assert nodes == {
        **node,
        "mainstat": 2.0,
        "secondaryStat": 30.0,
        "arc__failed": 0.25,
        "arc__succeeded": 0.75,
        "detail__failed": 25.0,
    }
    assert edges == {
        **edge,
        "mainstat": 2.0,
        "secondarystat": 25.0,
        "detail__p95": 30.0,
    }
    legend = [frame.titles[name] for frame in drawn for name in frame.fields if re.search("stat$|^arc", name.lower())]
    assert set(legend) == {"Calls per second", "p95", "Failed", "Succeeded"}, "the legend shows no names of fields"
    # The panel ignores the colours of field overrides.
    colors = {arc["field"]: arc["color"] for arc in panel.model["options"]["nodes"]["arcs"]}
    assert colors == {"arc__failed": "red", "arc__succeeded": "green"}


def shown(frames: list[Frame], of_edges: bool) -> Row:
    """Return the fields of the only row of the edges or of the nodes."""
    (frame,) = (frame for frame in frames if ("source" in frame.fields) is of_edges)
    (row,) = frame.rows
    return {name: row[name] for name in frame.fields}
