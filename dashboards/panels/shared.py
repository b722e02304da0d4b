"""What several kinds of panels have: queries, thresholds, descriptions."""

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from contracts import endpoints

Panel = Builder[models.Panel]

NORMALLY_EMPTY: Final = "Normally empty:"
"""Begins the last line of a description; the reason follows. The check accepts such a panel without data."""

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid=endpoints.PROMETHEUS_UID)
LOGS: Final = DataSourceRef(type_val="loki", uid=endpoints.LOGS_UID)

SUCCESS_COLOR: Final = "green"
WARNING_COLOR: Final = "yellow"
ERROR_COLOR: Final = "red"
NEUTRAL_COLOR: Final = "text"
"""The colour of Grafana's text: of a number that is neither good nor bad."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """PromQL, and the legend of its series (`{{label}}` stands for a label's value)."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True)
class Thresholds:
    """The values from which a panel is yellow and red.

    Attributes:
        warning: from here on yellow; None for no yellow.
        critical: from here on red.
        rising: whether values above the thresholds are the bad ones; otherwise those below.
    """

    warning: float | None
    critical: float
    rising: bool = True

    def build(self) -> builders.ThresholdsConfig:
        """Return Grafana's steps: each colour holds from its value on."""
        steps: list[tuple[float | None, str]]
        if self.rising:
            yellow = [(self.warning, WARNING_COLOR)] if self.warning is not None else []
            steps = [(None, SUCCESS_COLOR), *yellow, (self.critical, ERROR_COLOR)]
        elif self.warning is not None:
            steps = [(None, ERROR_COLOR), (self.critical, WARNING_COLOR), (self.warning, SUCCESS_COLOR)]
        else:
            steps = [(None, ERROR_COLOR), (self.critical, SUCCESS_COLOR)]
        return (
            builders.ThresholdsConfig()
            .mode(models.ThresholdsMode.ABSOLUTE)
            .steps([models.Threshold(value=value, color=color) for value, color in steps])
        )


def description(text: str, normally_empty: str | None) -> str:
    """Return a description that ends with the reason why the panel is normally empty, if it is."""
    return f"{text}\n{NORMALLY_EMPTY} {normally_empty}" if normally_empty else text


def no_value(normally_empty: str | None) -> str:
    """Return what a panel shows if its queries return nothing: the reason if that is normal."""
    if normally_empty is None:
        return "No data in this time range: no traffic, or Prometheus has no metrics of it."
    # Grafana shows this text for a failed query, too, so it must not claim that all is well.
    return f"No data. This is normal if {normally_empty}"


ALL_FIELDS: Final = "/.*/"


def empty_cells() -> DynamicConfigValue:
    """Return the property of columns whose empty cells do not have the text for a panel without data."""
    return DynamicConfigValue(id_val="noValue", value="-")


def per_second(things: str) -> str:
    """Return the unit of a rate: `tasks` per second."""
    return f"count:{things}/s"


def ref_id(index: int) -> str:
    """Return the letter by which Grafana names a panel's query."""
    return chr(ord("A") + index)


def range_query(query: Query, index: int) -> prometheus.Dataquery:
    """Return a query over the dashboard's time range."""
    return (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .range()
        .exemplar(query.exemplars)
        .ref_id(ref_id(index))
        .datasource(PROMETHEUS)
    )


def table_query(expr: str, index: int) -> prometheus.Dataquery:
    """Return a query at the end of the time range, whose labels become columns."""
    return range_query(Query(expr=expr), index).instant().format(PromQueryFormat.TABLE)
