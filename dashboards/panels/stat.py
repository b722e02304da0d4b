"""Stat panels: the present value, large."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard
from grafana_foundation_sdk.builders import stat as sdk
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode, BigValueTextMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from dashboards.panels.shared import (
    NEUTRAL_COLOR,
    PROMETHEUS,
    Panel,
    Query,
    Thresholds,
    description,
    no_value,
    range_query,
)

NO_DATA: Final = "no data"
"""A tile has no room for the reason, which is in its description."""

_GAP: Final = SpecialValueMap(
    options=DashboardSpecialValueMapOptions(
        match=SpecialValueMatch.NULL_AND_NAN, result=ValueMappingResult(text=NO_DATA, color=NEUTRAL_COLOR)
    )
)
_LAST_STEP: Final = "${__to} - $__interval_ms"
_NAME_PIXELS: Final = 14
_VALUE_PIXELS: Final = 22
_SINGLE_VALUE_PIXELS: Final = 34


def stat(
    title: str,
    text: str,
    query: str | Query,
    *,
    unit: str,
    thresholds: Thresholds | None = None,
    normally_empty: str | None = None,
    width: int = 4,
    height: int = 4,
    decimals: int | None = None,
    values: Mapping[str, str] | None = None,
) -> Panel:
    """Return the value of each series at the end of the time range, coloured by the thresholds.

    A series that has ended before has no value: the last value of a stopped service would look like the present one.

    Args:
        title: of the panel.
        text: what the panel answers.
        query: PromQL; with a legend if it has several series, each of which is a tile with its name.
        unit: of the values.
        thresholds: that colour the values; None for numbers that are neither good nor bad.
        normally_empty: the reason why the panel normally has no value.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
        decimals: of the values; None for Grafana's choice.
        values: the text for some values, instead of the number.
    """
    if isinstance(query, str):
        query = Query(expr=query)
    has_graph = not (query.legend or values)
    panel = (
        sdk.Panel()
        .title(title)
        .description(description(text if normally_empty else f"{text} {no_value(None)}", normally_empty))
        .no_value(NO_DATA)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(height)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA if has_graph else BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["last"]))
        .with_target(range_query(_with_end(query), 0) if has_graph else range_query(query, 0).instant())
    )
    # Grafana chooses sizes from the room that a tile has: a page gets values of ten sizes, and names too small to read.
    sizes = common.VizTextDisplayOptions().value_size(_VALUE_PIXELS if query.legend else _SINGLE_VALUE_PIXELS)
    if query.legend:
        panel.text_mode(BigValueTextMode.VALUE_AND_NAME)
        sizes.title_size(_NAME_PIXELS)
    panel.text(sizes)
    words = {value: ValueMappingResult(text=text) for value, text in (values or {}).items()}
    panel.mappings([_GAP, *([ValueMap(options=words)] if words else [])])
    if decimals is not None:
        panel.decimals(decimals)
    return panel.thresholds(thresholds.build() if thresholds else _neutral())


def _with_end(query: Query) -> Query:
    """Return the query with NaN at the end of the time range, if it has no value there.

    Grafana's frames end with the last value, however old it is. Earlier gaps stay gaps in the graph of the tile.
    """
    return replace(query, expr=f"({query.expr}) or on () (vector(NaN) and on () vector(time()) * 1000 > {_LAST_STEP})")


def _neutral() -> dashboard.ThresholdsConfig:
    """Return one colour for all values. Without thresholds, Grafana's own are used: red from 80 on."""
    return (
        dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(value=None, color=NEUTRAL_COLOR)])
    )
