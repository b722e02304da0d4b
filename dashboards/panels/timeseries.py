"""Timeseries panels: values over time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import timeseries as sdk
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from contracts import metrics
from dashboards.config import MonitoringConfig
from dashboards.panels.colors import SERIES_COLORS, shades
from dashboards.panels.shared import (
    ERROR_COLOR,
    PROMETHEUS,
    Panel,
    Query,
    Thresholds,
    description,
    no_value,
    range_query,
)
from dashboards.queries import buckets

# The end of an axis as long as no value is larger: small, so that small values are seen.
_SOFT_MAXIMUM: Final = {"bytes": 2**20, "s": 0.01, "ms": 10, "count:cores": 0.1}

LIMIT: Final = "limit"
"""Name of the series that draws the threshold of an alert on a logarithmic axis."""


def timeseries(
    title: str,
    text: str,
    queries: Sequence[Query],
    *,
    unit: str,
    thresholds: Thresholds | None = None,
    normally_empty: str | None = None,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    maximum: float | None = None,
    table: bool = False,
) -> Panel:
    """Return lines over time; a dashed line marks the threshold of an alert.

    The axis begins at zero; with a threshold, an axis of times is logarithmic.

    Args:
        title: of the panel.
        text: what the panel answers.
        queries: each with the legend of its series.
        unit: of the values.
        thresholds: the line that is drawn.
        normally_empty: the reason why the panel normally has no lines.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
        stacked: whether the series add up.
        maximum: of the axis, whether or not a value is larger.
        table: whether the legend is a table to the right, with the latest and the largest value: for many series.
    """
    panel = (
        sdk.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .no_value(no_value(normally_empty))
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .span(width)
        .height(height)
        .line_width(1)
        .point_size(3)
        .fill_opacity(30 if stacked else 0 if table else 8)
        .axis_soft_max(_soft_maximum(unit, thresholds))
        .legend(_legend(table))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if maximum is not None:
        panel.max(maximum)
    if stacked:
        panel.stacking(common.StackingConfig().group("A").mode(StackingMode.NORMAL))
    for index, query in enumerate(queries):
        panel.with_target(range_query(query, index))
    for pattern, color in SERIES_COLORS.items():
        panel.override_by_regexp(pattern, shades(color))
    if thresholds and unit in ("s", "ms"):
        _draw_limit_on_log_scale(panel, queries, thresholds.critical)
    elif thresholds:
        panel.thresholds(thresholds.build())
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return panel


def _draw_limit_on_log_scale(panel: sdk.Panel, queries: Sequence[Query], limit: float) -> None:
    """Make the axis logarithmic: a limit in seconds would press times in milliseconds onto a linear axis.

    A logarithmic axis has no soft maximum, so the limit is a series; without data it is empty, too.
    """
    panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10))
    line = Query(expr=f"group({queries[0].expr}) * {limit:g}", legend=LIMIT)
    panel.with_target(range_query(line, len(queries)))
    panel.override_by_name(LIMIT, _dashed(ERROR_COLOR))


def _dashed(color: str) -> list[DynamicConfigValue]:
    return [
        DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color}),
        DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [10, 10]}),
        DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        DynamicConfigValue(id_val="custom.showPoints", value="never"),
    ]


def _soft_maximum(unit: str, thresholds: Thresholds | None) -> float:
    """Return the end of the axis as long as no value is larger.

    Without it, Grafana draws a series of zeros on an axis to 100 (of ratios: 10,000 %), and does not show a limit that
    is above all values.
    """
    if thresholds is not None:
        limit = thresholds.critical * 1.2
        return min(limit, 1.0) if unit == "percentunit" else limit
    return _SOFT_MAXIMUM.get(unit, 1)


def _legend(table: bool) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True)
    if not table:
        return legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).calcs([])
    return (
        legend.display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.RIGHT)
        .calcs(["lastNotNull", "max"])
        .sort_by("Last *")
        .sort_desc(True)
    )


def about_dots(config: MonitoringConfig) -> str:
    """Return the sentence about the exemplars, which a panel that has them draws as dots."""
    if not config.traces:
        return "A dot has the id of its trace."
    return "Click a dot to open its trace."


def with_exemplars(config: MonitoringConfig, query: Query, *matchers: str) -> list[Query]:
    """Return a query of span metrics with exemplars: dots that stand for stored traces.

    With sampling the exemplars come from a second query, of the spans that the samplers keep. That query selects no
    values (`< 0`), so it adds dots and no lines.

    Args:
        config: of the stack.
        query: of all spans.
        matchers: of the spans that the dots stand for.
    """
    if not config.tail_sampling:
        return [replace(query, exemplars=True)]
    stored = buckets(metrics.STORED_SPAN_DURATION, *matchers)
    dots = Query(expr=f"{stored} < 0", legend="stored traces", exemplars=True)
    return [query, dots]
