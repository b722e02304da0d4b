"""Metrics and log lines as Grafana's panels get them: through its query API, as data frames.

Tried with Grafana 12. Request and response after "Query a data source" of the
data source HTTP API (https://grafana.com/docs/grafana/latest/developers/http_api/data_source/), frames and their
encoding after "Data frames" of the plugin tools (https://grafana.com/developers/plugin-tools/), frames of log lines
after the data plane contract (https://grafana.com/developers/dataplane/logs) and Loki's older form of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx

from checks.dashboards.sources import Answer
from checks.dashboards.substitute import Window
from stack.clients.http import SECONDS, QueryError, json_of
from stack.clients.loki import Line
from stack.clients.prometheus import Series

# JSON has no such numbers: the values have null, and a separate list has their positions.
_ENTITIES: Final = {"NaN": math.nan, "Inf": math.inf, "NegInf": -math.inf}
_TEXT: Final = ("body", "Line")
"""Names of the field that holds the lines: the contract's, and Loki's own."""


class Grafana:
    """The datasources of a Grafana, for targets of Prometheus and Loki."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def query(self, target: Mapping[str, Any], window: Window) -> Answer:
        ref = str(target.get("refId", "A"))
        query = {
            **target,
            "refId": ref,
            # Exemplars are in a frame of their own, which is no series.
            "exemplar": False,
            "intervalMs": window.step * 1000,
            "maxDataPoints": max(1, window.seconds // window.step),
        }
        body = {"queries": [query], "from": str(round(window.start * 1000)), "to": str(round(window.end * 1000))}
        try:
            answer = self._client.post(f"{self._url}/api/ds/query", json=body, timeout=SECONDS)
        except httpx.HTTPError as error:
            raise QueryError(f"{type(error).__name__}: {error}") from error
        # The error of a query is here; the status of the whole answer may be any.
        result = _results(answer).get(ref)
        if result is None:
            raise QueryError(f"{answer.status_code}, and nothing for {ref}: {answer.text[:300]}")
        if refused := result.get("error"):
            raise QueryError(f"{result.get('status', answer.status_code)}: {refused}")
        frames = [_Frame(frame) for frame in result.get("frames") or []]
        lines = sorted((line for frame in frames for line in frame.lines()), key=lambda line: -line.time)
        return Answer(series=tuple(one for frame in frames for one in frame.series()), lines=tuple(lines))


def _results(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        results: Mapping[str, Any] = answer.json()["results"]
    except (ValueError, KeyError, TypeError):
        json_of(answer)  # its error is clearer, if it has one
        raise QueryError(f"no results: {answer.text[:300]}") from None
    return results


class _Frame:
    """Columns of the same length: `schema.fields` says what they are, `data.values` holds them."""

    def __init__(self, frame: Mapping[str, Any]) -> None:
        self._fields: Sequence[Mapping[str, Any]] = frame.get("schema", {}).get("fields", [])
        data = frame.get("data", {})
        self._columns: list[list[Any]] = [list(column) for column in data.get("values", [])]
        for column, entities in zip(self._columns, data.get("entities") or [], strict=False):
            for name, places in (entities or {}).items():
                for place in places if name in _ENTITIES else ():
                    column[place] = _ENTITIES[name]

    def _of(self, kind: str) -> list[tuple[Mapping[str, Any], list[Any]]]:
        """The columns of a type, each with its field."""
        return [pair for pair in zip(self._fields, self._columns, strict=False) if pair[0]["type"] == kind]

    @property
    def _text(self) -> list[Any] | None:
        return next((column for field, column in self._of("string") if field["name"] in _TEXT), None)

    def lines(self) -> Iterator[Line]:
        """A line for each row, if it is a frame of lines."""
        text = self._text
        if text is None:
            return
        ((_, times), *_) = self._of("time")
        labels = next((column for field, column in self._of("other") if field["name"] == "labels"), None)
        for row, (time, line) in enumerate(zip(times, text, strict=True)):
            own = labels[row] if labels else {}
            yield Line(time=time / 1000, labels={key: str(value) for key, value in own.items()}, text=line)

    def series(self) -> Iterator[Series]:
        """A series for each column of numbers. In a table, text columns hold labels: a series for each set of them."""
        times = next((column for _, column in self._of("time")), None)
        if times is None or self._text is not None:
            return
        texts = self._of("string")
        for field, numbers in self._of("number"):
            points: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
            for row, (time, value) in enumerate(zip(times, numbers, strict=True)):
                labels = {**(field.get("labels") or {}), **{text["name"]: column[row] or "" for text, column in texts}}
                point = (time / 1000, math.nan if value is None else float(value))
                points.setdefault(tuple(sorted(labels.items())), []).append(point)
            for key, values in points.items():
                yield Series(labels=dict(key), points=tuple(values))
