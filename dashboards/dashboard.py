"""What all dashboards have: how they look, where they link to, and the variables that go along."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.panels import PROMETHEUS
from dashboards.queries import CALLS

TAG: Final = "web-crawl-tracing"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Builder[Panel]]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard; each answers one question."""

    uid: str
    title: str
    question: str
    rows: Sequence[Row]
    variables: Sequence[Builder[VariableModel]] = field(default_factory=tuple)

    def model(self) -> dict[str, Any]:
        """Grafana's JSON model."""
        made = (
            builders.Dashboard(self.title)
            .uid(self.uid)
            .description(self.question)
            .tags([TAG])
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .link(
                builders.DashboardLink("Dashboards")
                .type(DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .keep_time(True)
                .include_vars(True)
            )
            .annotation(
                builders.AnnotationQuery()
                .name("Alerts")
                .datasource(PROMETHEUS)
                .enable(True)
                .icon_color("red")
                .expr('ALERTS{alertstate="firing",severity="page"}')
            )
        )
        for variable in (ENVIRONMENT, *self.variables):
            made.with_variable(variable)
        for row in self.rows:
            made.with_row(builders.Row(row.title))
            for panel in row.panels:
                made.with_panel(panel)
        model: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
        # Links to single panels need their numbers, which the builder leaves to Grafana.
        for number, panel in enumerate(model["panels"], 1):
            panel["id"] = number
        return model


def variable(name: str, label: str, query: str) -> Builder[VariableModel]:
    """One or more values of a label, all of them at first."""
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


ENVIRONMENT: Final = variable("environment", "Environment", f"label_values({CALLS}, deployment_environment_name)")
SERVICE: Final = variable(
    "service", "Service", f'label_values({CALLS}{{deployment_environment_name=~"$environment"}}, service_name)'
)
OPERATION: Final = variable(
    "operation",
    "Operation",
    f'label_values({CALLS}{{deployment_environment_name=~"$environment",service_name=~"$service"}}, span_name)',
)
