"""Dashboards: what all of them have, and the variables that they share."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
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
from contracts.metrics import SERVICE as SERVICE_LABEL
from dashboards.annotations import annotations
from dashboards.config import MonitoringConfig
from dashboards.links import LinkFunction
from dashboards.names import Names
from dashboards.panels import PROMETHEUS, Panel
from dashboards.queries import series

TAG: Final = "web-crawl-tracing"
RUNBOOK_TAG: Final = "web-crawl-tracing-runbook"
"""Runbooks have a menu of their own: there are five times as many of them as dashboards."""

Model = dict[str, Any]
"""Grafana's JSON model of a dashboard."""

PanelFunction = Callable[[MonitoringConfig], Panel | None]
"""Returns a panel, or None if the stack has no use for it."""


def of_services(function: PanelFunction) -> PanelFunction:
    """Decorate the function of a panel whose metrics only the stack's own services emit."""

    @wraps(function)
    def panel(config: MonitoringConfig) -> Panel | None:
        return function(config) if config.services else None

    return panel


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
    links: Sequence[LinkFunction] = ()
    """Shown before the menus."""
    tag: str = TAG
    """The menu that lists the dashboard."""
    only_of_services: bool = False
    """Whether all of it shows what only the stack's own services have."""

    def model(self, config: MonitoringConfig) -> Model:
        """Return Grafana's JSON model for a stack."""
        names = config.names
        builder = self._frame(names)
        for function in self.links:
            if link := function(config):
                builder.link(link)
        builder.link(_menu("Dashboards", names.uid(TAG))).link(_menu("Runbooks", names.uid(RUNBOOK_TAG)))
        for variable in self.variables:
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
        # The SDK puts every link into the menu of the controls, where newer versions of Grafana hide it.
        for link in (*model["links"], *(link for panel in model["panels"] for link in panel.get("links", ()))):
            del link["placement"]
        model["templating"].setdefault("list", [])
        model["annotations"] = {"list": annotations(config)}
        renamed: Model = names.with_references(model)
        return renamed

    def _frame(self, names: Names) -> builders.Dashboard:
        """Return what all dashboards have: their place in the menus, the time range, and no changes by hand."""
        return (
            builders.Dashboard(self.title)
            .uid(names.uid(self.uid))
            .description(self.question)
            .tags([names.uid(self.tag)])
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
        )


def _menu(title: str, tag: str) -> builders.DashboardLink:
    return (
        builders.DashboardLink(title)
        .type(DashboardLinkType.DASHBOARDS)
        .tags([tag])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
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


OF_SERVICE: Final = f'{SERVICE_LABEL}=~"$service"'

SERVICE: Final = variable("service", "Service", _values(SERVICE_LABEL))
