"""The stores that a dashboard asks: one small client each, one kind of answer."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx

from checks.dashboards.substitute import Window

SECONDS: Final = 20.0
"""Time that a store has to answer."""
_LABEL_VALUES: Final = re.compile(r"label_values\((?:(?P<series>.+),\s*)?(?P<label>\w+)\)", re.DOTALL)


class QueryFailed(Exception):
    """A store refused a query, or did not answer; the text says what it said."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points over time; one point where a query asks for the latest value only."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A log line: seconds since 1970, its labels and metadata, its text."""

    at: float
    labels: Mapping[str, str]
    text: str


@dataclass(frozen=True, kw_only=True)
class FoundTrace:
    """A trace that a search found."""

    trace_id: str
    service: str
    name: str
    at: float
    milliseconds: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a store returned for one query."""

    series: tuple[Series, ...] = ()
    lines: tuple[Line, ...] = ()
    traces: tuple[FoundTrace, ...] = field(default=())

    @property
    def empty(self) -> bool:
        """Nothing that could be drawn: values that are no numbers are none."""
        numbers = any(not math.isnan(value) for series in self.series for _, value in series.points)
        return not (numbers or self.lines or self.traces)


class Source(Protocol):
    """A store behind a datasource."""

    def ask(self, target: Mapping[str, Any], window: Window) -> Answer:
        """Runs a panel's target, whose variables are replaced.

        Raises:
            QueryFailed: the store did not answer it.
        """


def json_of(answer: httpx.Response) -> Any:
    """The JSON that was answered; QueryFailed if it is none or an error."""
    if not answer.is_success:
        raise QueryFailed(f"{answer.status_code}: {answer.text[:300]}")
    try:
        return answer.json()
    except json.JSONDecodeError:
        raise QueryFailed(f"not JSON: {answer.text[:100]}") from None


class _Http:
    """Gets JSON from a base URL, directly or through Grafana's proxy."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def get(self, path: str, **params: Any) -> Any:
        """The JSON that a GET returns; QueryFailed if it is none or an error."""
        try:
            answer = self._client.get(f"{self._url}{path}", params=params, timeout=SECONDS)
        except httpx.HTTPError as error:
            raise QueryFailed(f"{type(error).__name__}: {error}") from error
        return json_of(answer)


class Prometheus(_Http):
    """See https://prometheus.io/docs/prometheus/latest/querying/api/."""

    def ask(self, target: Mapping[str, Any], window: Window) -> Answer:
        """See `Source`."""
        if target.get("instant"):
            return self.now(target["expr"], window.end)
        data = self.get(
            "/api/v1/query_range", query=target["expr"], start=window.start, end=window.end, step=window.step
        )["data"]
        return Answer(series=tuple(_series(item["metric"], item["values"]) for item in data["result"]))

    def now(self, query: str, at: float) -> Answer:
        """The value of a query at a moment."""
        data = self.get("/api/v1/query", query=query, time=at)["data"]
        if data["resultType"] == "scalar":
            return Answer(series=(_series({}, [data["result"]]),))
        return Answer(series=tuple(_series(item["metric"], [item["value"]]) for item in data["result"]))

    def variable(self, query: str, window: Window) -> list[str]:
        """Values of a template variable's query, `label_values(…)`.

        Raises:
            QueryFailed: it is not of that form, or Prometheus did not answer.
        """
        match = _LABEL_VALUES.fullmatch(query.strip())
        if match is None:
            raise QueryFailed(f"only label_values(…) is understood, not {query!r}")
        series = {"match[]": match["series"]} if match["series"] else {}
        values: list[str] = self.get(
            f"/api/v1/label/{match['label']}/values", start=window.start, end=window.end, **series
        )["data"]
        return values

    def exemplars(self, query: str, window: Window) -> list[Mapping[str, str]]:
        """Labels of the exemplars of a query's series."""
        data = self.get("/api/v1/query_exemplars", query=query, start=window.start, end=window.end)["data"]
        return [exemplar["labels"] for series in data for exemplar in series["exemplars"]]


class Loki(_Http):
    """See https://grafana.com/docs/loki/latest/reference/loki-http-api/."""

    def ask(self, target: Mapping[str, Any], window: Window) -> Answer:
        """See `Source`."""
        data = self.get(
            "/loki/api/v1/query_range",
            query=target["expr"],
            start=round(window.start * 1e9),
            end=round(window.end * 1e9),
            limit=target.get("maxLines", 100),
            step=window.step,
        )["data"]
        if data["resultType"] != "streams":
            return Answer(series=tuple(_series(item["metric"], item["values"]) for item in data["result"]))
        lines = [
            Line(at=int(at) / 1e9, labels=stream["stream"], text=text)
            for stream in data["result"]
            for at, text, *_ in stream["values"]
        ]
        return Answer(lines=tuple(sorted(lines, key=lambda line: -line.at)))


class Tempo(_Http):
    """See https://grafana.com/docs/tempo/latest/api_docs/."""

    def ask(self, target: Mapping[str, Any], window: Window) -> Answer:
        """See `Source`."""
        found = self.get(
            "/api/search",
            q=target["query"],
            start=int(window.start),
            end=int(window.end) + 1,
            limit=target.get("limit", 20),
        )
        return Answer(
            traces=tuple(
                FoundTrace(
                    trace_id=trace["traceID"].zfill(32),  # leading zeros are left out
                    service=trace.get("rootServiceName", ""),
                    name=trace.get("rootTraceName", ""),
                    at=int(trace["startTimeUnixNano"]) / 1e9,
                    milliseconds=trace.get("durationMs", 0),
                )
                for trace in found.get("traces", [])
            )
        )

    def has(self, trace_id: str) -> bool:
        """Whether the store has spans of a trace."""
        return bool(self.get(f"/api/v2/traces/{trace_id}").get("trace", {}).get("resourceSpans"))


class Jaeger(_Http):
    """See https://www.jaegertracing.io/docs/latest/architecture/apis/; Grafana uses the same paths."""

    def ask(self, target: Mapping[str, Any], window: Window) -> Answer:
        """See `Source`."""
        tags = dict(pair.split("=", 1) for pair in target.get("tags", "").split())
        params = {
            "service": target["service"],
            "operation": target.get("operation"),
            "minDuration": target.get("minDuration"),
            "tags": json.dumps(tags) if tags else None,
            "limit": target.get("limit", 20),
            "start": round(window.start * 1e6),
            "end": round(window.end * 1e6),
        }
        found = self.get("/api/traces", **{key: value for key, value in params.items() if value is not None})
        return Answer(traces=tuple(_jaeger_trace(trace) for trace in found.get("data") or []))

    def has(self, trace_id: str) -> bool:
        """Whether the store has spans of a trace."""
        return bool(self.get(f"/api/traces/{trace_id}").get("data"))


def _jaeger_trace(trace: Mapping[str, Any]) -> FoundTrace:
    spans = sorted(trace["spans"], key=lambda span: span["startTime"])
    begin, end = spans[0]["startTime"], max(span["startTime"] + span["duration"] for span in spans)
    return FoundTrace(
        trace_id=trace["traceID"].zfill(32),
        service=trace["processes"][spans[0]["processID"]]["serviceName"],
        name=spans[0]["operationName"],
        at=begin / 1e6,
        milliseconds=(end - begin) / 1000,
    )


def _series(labels: Mapping[str, str], values: list[Any]) -> Series:
    return Series(labels=labels, points=tuple((float(at), float(value)) for at, value in values))
