"""State timelines: which state each thing was in, and when."""

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import statetimeline as sdk
from grafana_foundation_sdk.models.common import VisibilityMode
from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

from dashboards.panels.shared import PROMETHEUS, Panel, Query, no_value, range_query


@dataclass(frozen=True)
class State:
    """The name and the colour of a value."""

    name: str
    color: str


def state_timeline(
    title: str,
    text: str,
    query: Query,
    states: Mapping[int, State],
    *,
    width: int = 24,
    height: int = 8,
) -> Panel:
    """Return a bar for each series, coloured by its state.

    Args:
        title: of the panel.
        text: what the panel answers.
        query: a series for each thing. Grafana shows an error that misleads if there is none.
        states: value → state.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
    """
    texts = {str(value): ValueMappingResult(text=state.name, color=state.color) for value, state in states.items()}
    return (
        sdk.Panel()
        .title(title)
        .description(text)
        .no_value(no_value(None))
        .datasource(PROMETHEUS)
        .unit("short")
        .span(width)
        .height(height)
        .mappings([ValueMap(options=texts)])
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.7)
        .line_width(0)
        .fill_opacity(80)
        # A legend would also list the times without a value.
        .legend(common.VizLegendOptions().show_legend(False))
        .with_target(range_query(query, 0))
    )
