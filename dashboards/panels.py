"""The parts that all dashboards are made of: panels with a query, a unit and a line where it gets bad.

Sizes are Grafana's: a dashboard is 24 columns wide; a row of height 1 is about 30 pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import logs, loki, nodegraph, prometheus, stat, table, tempo, text, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Panel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from dashboards.queries import stored_spans
from stack import endpoints
from stack.settings import Settings

NORMALLY_EMPTY: Final = "Normally empty:"
"""Begins the last line of a description; the reason follows. The check of the dashboards takes it as an excuse."""

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid=endpoints.PROMETHEUS_UID)
LOGS: Final = DataSourceRef(type_val="loki", uid=endpoints.LOGS_UID)

GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True, kw_only=True)
class Query:
    """PromQL, and the name of its series (`{{label}}` for a label's value)."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True)
class Limits:
    """From where on a value is yellow and red; `rising` False: below instead of above."""

    warning: float | None
    bad: float
    rising: bool = True

    def build(self) -> builders.ThresholdsConfig:
        """Grafana's steps: each colour holds from its value on."""
        if self.rising:
            steps = [(None, GREEN), *([(self.warning, YELLOW)] if self.warning is not None else []), (self.bad, RED)]
        else:
            better = [(self.bad, YELLOW), (self.warning, GREEN)] if self.warning is not None else [(self.bad, GREEN)]
            steps = [(None, RED), *better]
        return (
            builders.ThresholdsConfig()
            .mode(ThresholdsMode.ABSOLUTE)
            .steps([Threshold(value=value, color=color) for value, color in steps])
        )


def with_traces(settings: Settings, query: Query, selector: str) -> list[Query]:
    """A query of span metrics, and the dots that lead to traces.

    Where traces are sampled the dots come from the metrics of the spans that are stored, which have no lines of use.
    """
    if settings.collector.sampling is None:
        return [replace(query, exemplars=True)]
    dots = f"{stored_spans(settings)}{{{selector}}} < 0"
    return [query, Query(expr=dots, legend="stored traces", exemplars=True)]


def described(text_: str, empty: str | None) -> str:
    """A description, with the reason why the panel is normally empty."""
    return f"{text_}\n{NORMALLY_EMPTY} {empty}" if empty else text_


def _range(query: Query, number: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .range()
        .exemplar(query.exemplars)
        .ref_id(chr(ord("A") + number))
        .datasource(PROMETHEUS)
    )


def _instant(query: Query, number: int, *, as_table: bool = False) -> prometheus.Dataquery:
    target = _range(query, number).instant().exemplar(False)
    return target.format(PromQueryFormat.TABLE) if as_table else target


def graph(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    limits: Limits | None = None,
    empty: str | None = None,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    maximum: float | None = None,
) -> Builder[Panel]:
    """Lines over time, from zero; the red line is where an alert looks."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(described(description, empty))
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .span(width)
        .height(height)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common_builders.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if maximum is not None:
        panel.max(maximum)
    if stacked:
        panel.stacking(common_builders.StackingConfig().group("A").mode(StackingMode.NORMAL))
    if limits:
        panel.thresholds(limits.build())
        panel.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for number, query in enumerate(queries):
        panel.with_target(_range(query, number))
    return panel


def number(
    title: str,
    description: str,
    query: str | Query,
    *,
    unit: str,
    limits: Limits | None = None,
    empty: str | None = None,
    width: int = 4,
    height: int = 4,
    decimals: int | None = None,
) -> Builder[Panel]:
    """The latest value, large, coloured by its limits; several side by side where the query has several series."""
    asked = query if isinstance(query, Query) else Query(expr=query)
    panel = (
        stat.Panel()
        .title(title)
        .description(described(description, empty))
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(height)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_range(asked, 0))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if limits:
        panel.thresholds(limits.build())
    return panel


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: of its query's value, with its unit and limits."""

    title: str
    query: str
    unit: str
    limits: Limits | None = None


def grid(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    by: Mapping[str, str],
    empty: str | None = None,
    width: int = 24,
    height: int = 8,
) -> Builder[Panel]:
    """A table with a row for each set of labels.

    Args:
        title: of the panel.
        description: what it answers.
        columns: the values; the first one sorts.
        by: label → title of its column; all queries are grouped by these labels.
        empty: why it is normally empty.
        width: in columns of the dashboard.
        height: in rows.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(described(description, empty))
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
    )
    names = {f"Value #{chr(ord('A') + index)}": column.title for index, column in enumerate(columns)}
    for index, column in enumerate(columns):
        panel.with_target(_instant(Query(expr=column.query), index, as_table=True))
        properties = [DynamicConfigValue(id_val="unit", value=column.unit)]
        if column.limits:
            properties += [
                DynamicConfigValue(id_val="thresholds", value=column.limits.build().build()),
                DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
            ]
        panel.override_by_name(column.title, properties)
    order = {name: place for place, name in enumerate((*by, *(f"Value #{chr(ord('A') + i)}" for i in range(26))))}
    return panel.transformations(
        [
            DataTransformerConfig(id_val="merge", options={}),
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": order,
                    "renameByName": {**by, **names},
                },
            ),
            DataTransformerConfig(
                id_val="sortBy", options={"fields": {}, "sort": [{"field": columns[0].title, "desc": True}]}
            ),
        ]
    )


def lines(
    title: str, description: str, query: str, *, empty: str | None = None, width: int = 24, height: int = 8
) -> Builder[Panel]:
    """Log lines, newest first."""
    return (
        logs.Panel()
        .title(title)
        .description(described(description, empty))
        .datasource(LOGS)
        .span(width)
        .height(height)
        .show_time(True)
        .enable_log_details(True)
        .wrap_log_message(True)
        .with_target(loki.Dataquery().expr(query).max_lines(200).query_type("range").ref_id("A").datasource(LOGS))
    )


class _JaegerQuery(Dataquery):
    """The SDK has no builder for Jaeger's queries."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def build(self) -> "_JaegerQuery":
        return self

    def to_json(self) -> dict[str, object]:
        return self._fields


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which traces are wanted: those that a span of this service is in."""

    service: str = "$service"
    operation: str | None = None
    failed: bool = False
    statements: bool = False
    slower_than_ms: int | None = None


def traces(
    settings: Settings,
    title: str,
    description: str,
    search: Search,
    *,
    empty: str | None = None,
    width: int = 24,
    height: int = 8,
) -> Builder[Panel]:
    """A table of traces, each a link to the whole of it."""
    backend = settings.traces.backend
    source = DataSourceRef(type_val=backend, uid=endpoints.TRACES_UID)
    target = _traceql(search, source) if backend == "tempo" else _jaeger(search)
    return (
        table.Panel()
        .title(title)
        .description(described(description, empty))
        .datasource(source)
        .span(width)
        .height(height)
        .with_target(target)  # type: ignore[arg-type]
    )


def _traceql(search: Search, source: DataSourceRef) -> tempo.TempoQuery:
    terms = [f'resource.service.name =~ "{search.service}"']
    if search.operation:
        terms.append(f'name = "{search.operation}"')
    if search.failed:
        terms.append("status = error")
    if search.statements:
        terms.append("span.db.system.name != nil")
    if search.slower_than_ms:
        terms.append(f"duration > {search.slower_than_ms}ms")
    return (
        tempo.TempoQuery()
        .query_type("traceql")
        .query(f"{{ {' && '.join(terms)} }}")
        .limit(20)
        .table_type(SearchTableType.TRACES)
        .ref_id("A")
        .datasource(source)
    )


def _jaeger(search: Search) -> _JaegerQuery:
    tags = {
        **({"error": "true"} if search.failed else {}),
        **({"db.system.name": "postgresql"} if search.statements else {}),
    }
    return _JaegerQuery(
        {
            "refId": "A",
            "datasource": {"type": "jaeger", "uid": endpoints.TRACES_UID},
            "queryType": "search",
            "service": search.service,
            **({"operation": search.operation} if search.operation else {}),
            **({"tags": " ".join(f"{key}={value}" for key, value in tags.items())} if tags else {}),
            **({"minDuration": f"{search.slower_than_ms}ms"} if search.slower_than_ms else {}),
            "limit": 20,
        }
    )


def node_graph(
    title: str, description: str, nodes: str, edges: str, *, width: int = 24, height: int = 14
) -> Builder[Panel]:
    """Nodes and arrows. The queries' labels are the fields that Grafana expects: id, title; id, source, target."""
    panel = (
        nodegraph.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .span(width)
        .height(height)
        .with_target(_instant(Query(expr=nodes), 0, as_table=True))
        .with_target(_instant(Query(expr=edges), 1, as_table=True))
    )
    # The frames are told apart by their names, and their numbers by theirs.
    return panel.transformations(
        [
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "renameByName": {"Value #A": "mainstat", "Value #B": "mainstat"},
                },
            )
        ]
    )


def page(content: str, *, width: int = 24, height: int = 24) -> Builder[Panel]:
    """Markdown."""
    return text.Panel().content(content).span(width).height(height).transparent(True)
