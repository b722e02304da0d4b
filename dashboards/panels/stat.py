"""Stat panels: the latest value, large."""

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import stat as sdk
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode

from dashboards.panels.shared import PROMETHEUS, Panel, Query, Thresholds, description, range_query


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
) -> Panel:
    """Return the latest value of each series, coloured by the thresholds."""
    panel = (
        sdk.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(height)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(range_query(query if isinstance(query, Query) else Query(expr=query), 0))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if thresholds:
        panel.thresholds(thresholds.build())
    return panel
