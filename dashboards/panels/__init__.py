"""The kinds of panels: each a function that returns a panel with a query, a unit and thresholds.

Sizes are Grafana's: a dashboard is 24 columns wide; a row of height 1 is about 30 pixels.
"""

from dashboards.panels.logs import logs
from dashboards.panels.node_graph import NodeGraphStats, node_graph
from dashboards.panels.shared import (
    ERROR_COLOR,
    LOGS,
    NEUTRAL_COLOR,
    NORMALLY_EMPTY,
    PROMETHEUS,
    SUCCESS_COLOR,
    WARNING_COLOR,
    Panel,
    Query,
    Thresholds,
    per_second,
)
from dashboards.panels.stat import stat
from dashboards.panels.state_timeline import State, state_timeline
from dashboards.panels.table import Column, Word, table
from dashboards.panels.text import text
from dashboards.panels.timeseries import about_dots, timeseries, with_exemplars
from dashboards.panels.traces import TraceSearch, traces

__all__ = [
    "ERROR_COLOR",
    "LOGS",
    "NEUTRAL_COLOR",
    "NORMALLY_EMPTY",
    "PROMETHEUS",
    "SUCCESS_COLOR",
    "WARNING_COLOR",
    "Column",
    "NodeGraphStats",
    "Panel",
    "Query",
    "State",
    "Thresholds",
    "TraceSearch",
    "Word",
    "about_dots",
    "logs",
    "node_graph",
    "per_second",
    "stat",
    "state_timeline",
    "table",
    "text",
    "timeseries",
    "traces",
    "with_exemplars",
]
