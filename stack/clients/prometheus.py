"""Prometheus' query API, https://prometheus.io/docs/prometheus/latest/querying/api/."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from stack.clients.http import SECONDS, Get, QueryError, get_json


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series of a result."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]
    """Time in s since the epoch, and value. The result of an instant query has one point."""

    @property
    def value(self) -> float:
        """The latest value."""
        return self.points[-1][1]


Query = Callable[[str, float], Sequence[Series]]
"""Takes PromQL and the time at which it is evaluated, in s since the epoch; see `PrometheusClient.query`."""


@dataclass(frozen=True)
class PrometheusClient:
    """Queries one Prometheus. Every method raises `QueryError` if Prometheus does not answer."""

    base_url: str
    get: Get = httpx.get
    seconds: float = SECONDS

    def query(self, promql: str, time: float | None = None) -> list[Series]:
        """Evaluates a query at one time, by default now."""
        data = self._get("query", query=promql, **({} if time is None else {"time": f"{time:.3f}"}))
        if data["resultType"] == "scalar":
            return [to_series({}, [data["result"]])]
        if data["resultType"] == "string":
            raise QueryError("the query returns a string, not series")
        return [to_series(item["metric"], item.get("values") or [item["value"]]) for item in data["result"]]

    def query_range(self, promql: str, *, start: float, end: float, step: float) -> list[Series]:
        """Evaluates a query every `step` seconds."""
        data = self._get("query_range", query=promql, start=start, end=end, step=step)
        return [to_series(item["metric"], item["values"]) for item in data["result"]]

    def label_values(self, label: str, *, start: float, end: float, selector: str | None = None) -> list[str]:
        """All values of a label, of the series that a selector selects."""
        match = {"match[]": selector} if selector else {}
        values: list[str] = self._get(f"label/{label}/values", start=start, end=end, **match)
        return values

    def exemplars(self, promql: str, *, start: float, end: float) -> list[Mapping[str, str]]:
        """The labels of the exemplars of a query's series."""
        data = self._get("query_exemplars", query=promql, start=start, end=end)
        return [exemplar["labels"] for series in data for exemplar in series["exemplars"]]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing."""
        alerts: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return alerts

    def _get(self, path: str, **params: Any) -> Any:
        return get_json(self.get, f"{self.base_url}/api/v1/{path}", params, seconds=self.seconds)["data"]


def to_series(labels: Mapping[str, str], points: Sequence[Sequence[Any]]) -> Series:
    """A series out of the JSON of an answer."""
    return Series(labels=labels, points=tuple((float(time), float(value)) for time, value in points))
