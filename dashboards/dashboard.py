"""Dashboards: what all of them have, and the variables that they share."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from contracts import metrics
from contracts.metrics import ENVIRONMENT as ENVIRONMENT_LABEL
from contracts.metrics import SERVICE as SERVICE_LABEL
from contracts.metrics import SPAN_NAME
from dashboards.config import MonitoringConfig
from dashboards.panels import PROMETHEUS, Panel
from dashboards.queries import equals, series

TAG: Final = "web-crawl-tracing"

Model = dict[str, Any]
"""Grafana's JSON model of a dashboard."""

PanelFunction = Callable[[MonitoringConfig], Panel | None]
"""Returns a panel, or None if the stack has no use for it."""


@dataclass(frozen=True)
class Row:
    """Panels under a heading; left out where the stack has none of them."""

    title: str
    panels: Sequence[PanelFunction]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard; each answers one question."""

    uid: str
    title: str
    question: str
    rows: Sequence[Row]
    variables: Sequence[Builder[VariableModel]] = field(default_factory=tuple)

    def model(self, config: MonitoringConfig) -> Model:
        """Return Grafana's JSON model for a stack."""
        builder = self._frame()
        for variable in (ENVIRONMENT, *self.variables):
            builder.with_variable(variable)
        for row in self.rows:
            panels = [panel for function in row.panels if (panel := function(config)) is not None]
            if panels:
                builder.with_row(builders.Row(row.title))
            for panel in panels:
                builder.with_panel(panel)
        model: Model = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
        # A link to a single panel needs the panel's id, which the builder leaves to Grafana.
        for number, panel in enumerate(model["panels"], 1):
            panel["id"] = number
        return model

    def _frame(self) -> builders.Dashboard:
        """Return what all dashboards have: time range, menu of dashboards, marks of firing alerts."""
        menu = (
            builders.DashboardLink("Dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        alerts = (
            builders.AnnotationQuery()
            .name("Alerts")
            .datasource(PROMETHEUS)
            .enable(True)
            .icon_color("red")
            .expr(series(metrics.ALERTS, equals("alertstate", "firing"), equals("severity", "page")))
        )
        return (
            builders.Dashboard(self.title)
            .uid(self.uid)
            .description(self.question)
            .tags([TAG])
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .link(menu)
            .annotation(alerts)
        )


def variable(name: str, label: str, query: str) -> Builder[VariableModel]:
    """Return a variable: values of a label, one or several, at first all."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )


def _values(label: str, *matchers: str) -> str:
    return f"label_values({series(metrics.SPAN_CALLS, *matchers)}, {label})"


IN_ENVIRONMENT: Final = f'{ENVIRONMENT_LABEL}=~"$environment"'
OF_SERVICE: Final = f'{SERVICE_LABEL}=~"$service"'

ENVIRONMENT: Final = variable("environment", "Environment", _values(ENVIRONMENT_LABEL))
SERVICE: Final = variable("service", "Service", _values(SERVICE_LABEL, IN_ENVIRONMENT))
OPERATION: Final = variable("operation", "Operation", _values(SPAN_NAME, IN_ENVIRONMENT, OF_SERVICE))
