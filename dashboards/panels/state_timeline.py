"""State timelines: which state each thing was in, and when."""

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard
from grafana_foundation_sdk.builders import statetimeline as sdk
from grafana_foundation_sdk.models.common import VisibilityMode
from grafana_foundation_sdk.models.dashboard import FieldColorModeId, ValueMap, ValueMappingResult

from dashboards.panels.shared import PROMETHEUS, Panel, Query, description, no_value, range_query


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
    normally_empty: str | None = None,
    width: int = 24,
    height: int = 8,
) -> Panel:
    """Return a bar for each series, coloured by its state.

    Args:
        title: of the panel.
        text: what the panel answers.
        query: a series for each thing.
        states: value → state.
        normally_empty: the reason why the panel normally has no bars.
        width: in columns of the dashboard.
        height: in rows of the dashboard.
    """
    texts = {str(value): ValueMappingResult(text=state.name, color=state.color) for value, state in states.items()}
    return (
        sdk.Panel()
        .title(title)
        .description(description(text, normally_empty))
        .no_value(no_value(normally_empty))
        .datasource(PROMETHEUS)
        .unit("short")
        .span(width)
        .height(height)
        .mappings([ValueMap(options=texts)])
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        # The default scale of colours has no legend.
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .row_height(0.7)
        .line_width(0)
        .fill_opacity(80)
        .legend(common.VizLegendOptions().show_legend(True))
        .with_target(range_query(query, 0))
    )
