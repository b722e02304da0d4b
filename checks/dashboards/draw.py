"""Draws panels as HTML, with the data that their queries returned; all data is escaped."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import plotly.graph_objects as go

from checks.dashboards.panels import Panel
from checks.dashboards.run import Checked
from checks.dashboards.sources import Answer
from checks.dashboards.substitute import Window
from checks.dashboards.transformations import Row, result
from checks.dashboards.units import COUNT, formatted
from stack.clients.prometheus import Series

_COLORS: Final = ("#5794f2", "#73bf69", "#f2cc0c", "#ff780a", "#e0226e", "#b877d9", "#37872d", "#fade2a", "#8ab8ff")
_ROW_PIXELS: Final = 34
_ROWS_SHOWN: Final = 25
_NAMED: Final = 9
"""The most series with a legend; with more, only the pointer shows their names."""
_TICKS: Final = {"percentunit": ".0%", "bytes": ".3s", "short": ".3s", "s": "", "ms": ""}
_THRESHOLDS: Final = {"green": "#3f9c4b", "yellow": "#c79a00", "red": "#d6303a"}
_EDGES: Final = {"red": "#d6303a", "green": "#8e8e93"}


def drawn(checked: Checked, window: Window) -> str:
    """The content of a panel, or the reason why it is empty."""
    panel = checked.panel
    if panel.type == "text":
        return f"<pre>{escape(panel.model.get('options', {}).get('content', ''))}</pre>"
    answers = [answer for answer in checked.answers if isinstance(answer, Answer)]
    if checked.is_empty:
        return f'<p class="empty">No data: {escape(panel.normally_empty or "the panel must not be empty.")}</p>'
    if panel.type in ("timeseries", "state-timeline"):
        return _timeseries(panel, answers, window)
    painters: Mapping[str, Callable[[Panel, Sequence[Answer]], str]] = {
        "stat": _stat,
        "table": _table,
        "logs": _logs,
        "nodeGraph": _node_graph,
    }
    return painters[panel.type](panel, answers)


def _legend(series: Series, template: str) -> str:
    if template in ("", "__auto"):
        return ", ".join(value for key, value in series.labels.items() if key != "__name__") or "value"
    for key, value in series.labels.items():
        template = template.replace(f"{{{{{key}}}}}", value)
    return template


def _named(panel: Panel, answers: Sequence[Answer]) -> list[tuple[str, Series]]:
    """All series with their legends."""
    return [
        (_legend(series, target.get("legendFormat", "")), series)
        for target, answer in zip(panel.targets, answers, strict=False)
        for series in answer.series
    ]


def _timeseries(panel: Panel, answers: Sequence[Answer], window: Window) -> str:
    unit = panel.defaults.get("unit", "short")
    named = [(name, series) for name, series in _named(panel, answers) if series.points]
    stacked = panel.model.get("fieldConfig", {}).get("defaults", {}).get("custom", {}).get("stacking", {}).get("mode")
    figure = go.Figure()
    for index, (name, series) in enumerate(named):
        figure.add_scatter(
            x=[datetime.fromtimestamp(time, UTC) for time, _ in series.points],
            y=[None if math.isnan(value) else value for _, value in series.points],
            name=name,
            mode="lines",
            line={"width": 1.5, "color": _COLORS[index % len(_COLORS)]},
            text=[formatted(value, unit) for _, value in series.points],
            hovertemplate="%{text}",
            **({"stackgroup": "all"} if stacked == "normal" else {}),
        )
    top = max((v for _, series in named for _, v in series.points if not math.isnan(v)), default=0.0)
    for step in panel.defaults.get("thresholds", {}).get("steps", []):
        # A threshold far above all values would flatten the series.
        if step["value"] is not None and 0 < step["value"] <= 3 * top:
            figure.add_hline(y=step["value"], line={"dash": "dash", "width": 1, "color": _THRESHOLDS[step["color"]]})
    _layout(figure, panel)
    figure.update_layout(showlegend=len(named) <= _NAMED)
    figure.update_xaxes(range=[datetime.fromtimestamp(time, UTC) for time in (window.start, window.end)])
    figure.update_yaxes(
        rangemode="tozero",
        tickformat=_TICKS.get(unit, ".3s" if unit.startswith(COUNT) else ""),
        ticksuffix={"s": " s", "ms": " ms"}.get(unit),
    )
    return _html(figure)


def _layout(figure: go.Figure, panel: Panel) -> None:
    figure.update_layout(
        height=panel.place[3] * _ROW_PIXELS - 44,
        margin={"l": 8, "r": 8, "t": 4, "b": 4},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#8e8e93", "size": 11},
        hovermode="x unified",
        showlegend=True,
        legend={"orientation": "h", "yanchor": "top", "y": -0.12, "font": {"size": 10}},
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,.18)", automargin=True)
    figure.update_yaxes(gridcolor="rgba(128,128,128,.18)", automargin=True)


def _html(figure: go.Figure) -> str:
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False})
    return text


def _color(value: float, thresholds: Mapping[str, Any]) -> str:
    """The color of the last threshold that the value has reached."""
    color = "green"
    for step in thresholds.get("steps", []):
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return color


def _stat(panel: Panel, answers: Sequence[Answer]) -> str:
    named = _named(panel, answers)
    unit, decimals = panel.defaults.get("unit", "short"), panel.defaults.get("decimals")
    parts = []
    for name, series in named:
        value = series.points[-1][1]
        color = _color(value, panel.defaults.get("thresholds", {}))
        label = f"<small>{escape(name)}</small>" if len(named) > 1 else ""
        size = "" if len(named) == 1 else " several"
        parts.append(f'<div class="number {color}{size}">{label}{escape(formatted(value, unit, decimals))}</div>')
    return f'<div class="numbers">{"".join(parts)}</div>'


def _table(panel: Panel, answers: Sequence[Answer]) -> str:
    if any(answer.traces for answer in answers):
        traces = sorted((trace for answer in answers for trace in answer.traces), key=lambda trace: -trace.start)
        rows = [
            [
                f"<code>{escape(trace.trace_id)}</code>",
                escape(_clock(trace.start)),
                escape(trace.service),
                escape(trace.name),
                escape(formatted(trace.milliseconds, "ms")),
            ]
            for trace in traces
        ]
        return _rows(["Trace", "Start", "Service", "Name", "Duration"], rows)
    overrides = {
        override["matcher"]["options"]: {item["id"]: item["value"] for item in override["properties"]}
        for override in panel.model.get("fieldConfig", {}).get("overrides", [])
    }
    (frame, *_) = result(panel, answers)

    def cell(title: str, value: Any) -> str:
        if value is None or isinstance(value, str):
            return escape(value or "")
        override = overrides.get(title, {})
        color = _color(value, override["thresholds"]) if "thresholds" in override else ""
        return f'<span class="{color}">{escape(formatted(value, override.get("unit", "short")))}</span>'

    rows = [
        [cell(title, row.get(name)) for name, title in zip(frame.fields, frame.columns, strict=True)]
        for row in frame.rows
    ]
    return _rows(frame.columns, rows)


def _rows(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows[:_ROWS_SHOWN])
    rest = f"<p>and {len(rows) - _ROWS_SHOWN} more</p>" if len(rows) > _ROWS_SHOWN else ""
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table>{rest}</div>'


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M:%S")


def _logs(_panel: Panel, answers: Sequence[Answer]) -> str:
    lines = [line for answer in answers for line in answer.lines]
    rows = [
        [
            escape(_clock(line.time)),
            escape(line.labels.get("severity_text", "")),
            escape(line.labels.get("service_name", "")),
            escape(line.text),
            f"<code>{escape(line.labels.get('trace_id', '')[:8])}</code>",
        ]
        for line in lines
    ]
    return _rows(["Time", "Severity", "Service", "Line", "Trace"], rows)


def _node_graph(panel: Panel, answers: Sequence[Answer]) -> str:
    """Draws nodes in columns by their distance from the first caller, and edges as arrows with their values."""
    frames = result(panel, answers)
    nodes = {row["id"]: row for frame in frames if "source" not in frame.fields for row in frame.rows}
    edges = [(row["source"], row["target"], row) for frame in frames if "source" in frame.fields for row in frame.rows]
    depth = _depths(list(nodes), [(source, target) for source, target, _ in edges])
    columns: dict[int, list[str]] = {}
    for node in sorted(nodes):
        columns.setdefault(depth[node], []).append(node)
    place = {
        node: (float(column), (len(members) - 1) / 2 - index)
        for column, members in columns.items()
        for index, node in enumerate(members)
    }
    figure = go.Figure()
    for source, target, row in edges:
        (x0, y0), (x1, y1) = place[source], place[target]
        bend = 0.18 if depth[target] <= depth[source] else 0.0
        figure.add_annotation(
            x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", showarrow=True, arrowhead=3,
            arrowwidth=1.2, arrowcolor=_EDGES.get(str(row.get("color")), _EDGES["green"]), standoff=24,
            startstandoff=24, text="",
        )  # fmt: skip
        figure.add_annotation(
            x=x0 + (x1 - x0) * 0.4, y=y0 + (y1 - y0) * 0.4 + bend, text=escape(_stat_text(row)),
            showarrow=False, yshift=9,
        )  # fmt: skip
    figure.add_scatter(
        x=[place[node][0] for node in nodes],
        y=[place[node][1] for node in nodes],
        mode="markers+text",
        marker={"size": 34, "color": "#5794f2"},
        text=[escape(node) for node in nodes],
        textposition="bottom center",
        hovertext=[_stat_text(row) for row in nodes.values()],
    )
    _layout(figure, panel)
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_xaxes(visible=False, range=[-0.5, max(columns, default=0) + 0.5])
    height = max((len(members) for members in columns.values()), default=1) / 2 + 0.6
    figure.update_yaxes(visible=False, range=[-height, height])
    return _html(figure)


def _stat_text(row: Row) -> str:
    return formatted(row["mainstat"], "count:calls/s") if row.get("mainstat") is not None else ""


def _depths(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The distance of each node from the nodes without a caller; in a cycle, from its first node."""
    called = {target for _, target in edges}
    depth = {node: 0 for node in nodes if node not in called} or ({nodes[0]: 0} if nodes else {})
    queue = list(depth)
    while queue:
        node = queue.pop(0)
        for source, target in edges:
            if source == node and target not in depth:
                depth[target] = depth[node] + 1
                queue.append(target)
    return {node: depth.get(node, 0) for node in nodes}
