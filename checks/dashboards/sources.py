"""The stores behind the datasources: each answers the targets of panels with one kind of answer."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from checks.dashboards.substitute import Window
from stack.clients.http import QueryError
from stack.clients.loki import Line, LokiClient
from stack.clients.prometheus import PrometheusClient, Series
from stack.clients.traces import TraceStoreClient, TraceSummary

_LABEL_VALUES: Final = re.compile(r"label_values\((?:(?P<series>.+),\s*)?(?P<label>\w+)\)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a store to one query."""

    series: tuple[Series, ...] = ()
    lines: tuple[Line, ...] = ()
    traces: tuple[TraceSummary, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw: NaN is no value."""
        has_values = any(not math.isnan(value) for series in self.series for _, value in series.points)
        return not (has_values or self.lines or self.traces)


class Source(Protocol):
    """A store behind a datasource."""

    def query(self, target: Mapping[str, Any], window: Window) -> Answer:
        """Runs a panel's target, whose variables are replaced.

        Raises:
            QueryError: the store did not answer it.
        """


@dataclass(frozen=True)
class PrometheusSource:
    """Prometheus, for targets with PromQL."""

    client: PrometheusClient

    def query(self, target: Mapping[str, Any], window: Window) -> Answer:
        if target.get("instant"):
            return Answer(series=tuple(self.client.query(target["expr"], window.end)))
        series = self.client.query_range(target["expr"], start=window.start, end=window.end, step=window.step)
        return Answer(series=tuple(series))


@dataclass(frozen=True)
class LokiSource:
    """Loki, for targets with LogQL."""

    client: LokiClient

    def query(self, target: Mapping[str, Any], window: Window) -> Answer:
        limit = target.get("maxLines", 100)
        lines, series = self.client.query_range(
            target["expr"], start=window.start, end=window.end, limit=limit, step=window.step
        )
        return Answer(lines=tuple(lines), series=tuple(series))


@dataclass(frozen=True)
class TraceSource:
    """The trace store, for targets that search traces."""

    client: TraceStoreClient

    def query(self, target: Mapping[str, Any], window: Window) -> Answer:
        return Answer(traces=tuple(self.client.search(target, start=window.start, end=window.end)))


def variable_values(prometheus: PrometheusClient, query: str, window: Window) -> list[str]:
    """The values of a dashboard variable with the query `label_values(…)`.

    Raises:
        QueryError: the query has another form, or Prometheus did not answer.
    """
    match = _LABEL_VALUES.fullmatch(query.strip())
    if match is None:
        raise QueryError(f"only label_values(…) is supported, not {query!r}")
    return prometheus.label_values(match["label"], selector=match["series"], start=window.start, end=window.end)
