"""Stat panels: the latest value, large."""

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import stat as sdk
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode, BigValueTextMode
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashboards.panels.shared import PROMETHEUS, Panel, Query, Thresholds, description, no_value, range_query

NO_DATA: Final = "no data"
"""A tile has no room for the reason, which is in its description."""

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
    """Return the latest value of each series, coloured by the thresholds.

    Args:
        title: of the panel.
        text: what the panel answers.
        query: PromQL; with a legend if it has several series, each of which is a tile with its name.
        unit: of the values.
        thresholds: that colour the values.
        normally_empty: the reason why the panel normally has no value.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
        decimals: of the values; None for Grafana's choice.
        values: the text for some values, instead of the number.
    """
    if isinstance(query, str):
        query = Query(expr=query)
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
        .graph_mode(BigValueGraphMode.NONE if query.legend or values else BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(range_query(query, 0))
    )
    # Grafana chooses sizes from the room that a tile has: a page gets values of ten sizes, and names too small to read.
    sizes = common.VizTextDisplayOptions().value_size(_VALUE_PIXELS if query.legend else _SINGLE_VALUE_PIXELS)
    if query.legend:
        panel.text_mode(BigValueTextMode.VALUE_AND_NAME)
        sizes.title_size(_NAME_PIXELS)
    panel.text(sizes)
    if values:
        options = {value: ValueMappingResult(text=text) for value, text in values.items()}
        panel.mappings([ValueMap(options=options)])
    if decimals is not None:
        panel.decimals(decimals)
    if thresholds:
        panel.thresholds(thresholds.build())
    return panel
