"""Timeseries panels: values over time."""

from collections.abc import Sequence
from dataclasses import replace

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import timeseries as sdk
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)

from contracts import metrics
from dashboards.config import MonitoringConfig
from dashboards.panels.shared import PROMETHEUS, Panel, Query, Thresholds, description, range_query
from dashboards.queries import buckets


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
) -> Panel:
    """Return lines over time, from zero; a dashed line marks the threshold of an alert."""
    panel = (
        sdk.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .span(width)
        .height(height)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .legend(_legend())
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
    return panel


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
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
