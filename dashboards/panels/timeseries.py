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
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from contracts import metrics
from dashboards.config import MonitoringConfig
from dashboards.panels.shared import (
    ERROR_COLOR,
    PROMETHEUS,
    SUCCESS_COLOR,
    WARNING_COLOR,
    Panel,
    Query,
    Thresholds,
    description,
    no_value,
    range_query,
)
from dashboards.queries import buckets

# Part of a series' name → its colour, in all panels alike.
_COLORS: Final = {
    r"/(^|[ :])(error|failed|dead[_-]letter(ed)?|not sent\b.*|refused|dropped|timeouts?)$/": ERROR_COLOR,
    r"/(^|[ :])(retried|duplicate|suppressed)$/": WARNING_COLOR,
    r"/(^|[ :])(success|completed|accepted|sent)$/": SUCCESS_COLOR,
}


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
    """Return lines over time, from zero; a dashed line marks the threshold of an alert.

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
        .fill_opacity(30 if stacked else 8)
        .axis_soft_max(_soft_maximum(unit, thresholds))
        .legend(_legend(table))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if maximum is not None:
        panel.max(maximum)
    if stacked:
        panel.stacking(common.StackingConfig().group("A").mode(StackingMode.NORMAL))
    if thresholds:
        panel.thresholds(thresholds.build())
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for index, query in enumerate(queries):
        panel.with_target(range_query(query, index))
    for pattern, color in _COLORS.items():
        # Shades, so that two series of one kind can be distinguished.
        panel.override_by_regexp(
            pattern, [DynamicConfigValue(id_val="color", value={"mode": "shades", "fixedColor": color})]
        )
    return panel


def _soft_maximum(unit: str, thresholds: Thresholds | None) -> float:
    """Return the end of the axis as long as no value is larger.

    Without it, Grafana draws a series of zeros on an axis to 100 (of ratios: 10,000 %), and does not show a limit that
    is above all values.
    """
    if thresholds is not None:
        limit = thresholds.critical * 1.2
        return min(limit, 1.0) if unit == "percentunit" else limit
    return 2**20 if unit == "bytes" else 1


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


def with_exemplars(config: MonitoringConfig, query: Query, *matchers: str) -> list[Query]:
    """Return a query of span metrics with exemplars: dots that open a stored trace.

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
