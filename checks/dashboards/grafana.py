"""Metrics and lines as Grafana's own panels get them: through its query API, its plugins and its data frames.

Written after Grafana's documentation, as no Grafana was at hand: request and response after "Query a data source" of
the data source HTTP API (https://grafana.com/docs/grafana/latest/developers/http_api/data_source/), frames and their
encoding after "Data frames" of the plugin tools (https://grafana.com/developers/plugin-tools/), what a frame of lines
holds after the data plane contract (https://grafana.com/developers/dataplane/logs) and Loki's older form of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx

from checks.dashboards.sources import SECONDS, Answer, Line, QueryFailed, Series, json_of
from checks.dashboards.substitute import Window

# JSON has no such numbers: null stands for them, and the places are listed beside the values.
_ENTITIES: Final = {"NaN": math.nan, "Inf": math.inf, "NegInf": -math.inf}
_TEXT: Final = ("body", "Line")
"""Names of the field that holds the lines: the contract's, and Loki's own."""


class Grafana:
    """The datasources of a Grafana, for targets of Prometheus and Loki."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def ask(self, target: Mapping[str, Any], window: Window) -> Answer:
        """See `checks.dashboards.sources.Source`."""
        ref = str(target.get("refId", "A"))
        query = {
            **target,
            "refId": ref,
            # They come as a frame of their own, which is no series.
            "exemplar": False,
            "intervalMs": window.step * 1000,
            "maxDataPoints": max(1, window.seconds // window.step),
        }
        asked = {"queries": [query], "from": str(round(window.start * 1000)), "to": str(round(window.end * 1000))}
        try:
            answer = self._client.post(f"{self._url}/api/ds/query", json=asked, timeout=SECONDS)
        except httpx.HTTPError as error:
            raise QueryFailed(f"{type(error).__name__}: {error}") from error
        # A query that failed says so here, whatever the status of the whole.
        result = _results(answer).get(ref)
        if result is None:
            raise QueryFailed(f"{answer.status_code}, and nothing for {ref}: {answer.text[:300]}")
        if refused := result.get("error"):
            raise QueryFailed(f"{result.get('status', answer.status_code)}: {refused}")
        frames = [_Frame(frame) for frame in result.get("frames") or []]
        lines = sorted((line for frame in frames for line in frame.lines()), key=lambda line: -line.at)
        return Answer(series=tuple(one for frame in frames for one in frame.series()), lines=tuple(lines))


def _results(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        results: Mapping[str, Any] = answer.json()["results"]
    except (ValueError, KeyError, TypeError):
        json_of(answer)  # which says what is wrong with most answers
        raise QueryFailed(f"no results: {answer.text[:300]}") from None
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
        """One a row, if it is a frame of lines."""
        text = self._text
        if text is None:
            return
        ((_, times), *_) = self._of("time")
        labels = next((column for field, column in self._of("other") if field["name"] == "labels"), None)
        for row, (at, line) in enumerate(zip(times, text, strict=True)):
            own = labels[row] if labels else {}
            yield Line(at=at / 1000, labels={key: str(value) for key, value in own.items()}, text=line)

    def series(self) -> Iterator[Series]:
        """One a column of numbers; in a table, whose labels are columns of text, one a row's labels."""
        times = next((column for _, column in self._of("time")), None)
        if times is None or self._text is not None:
            return
        texts = self._of("string")
        for field, numbers in self._of("number"):
            found: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
            for row, (at, value) in enumerate(zip(times, numbers, strict=True)):
                labels = {**(field.get("labels") or {}), **{text["name"]: column[row] or "" for text, column in texts}}
                point = (at / 1000, math.nan if value is None else float(value))
                found.setdefault(tuple(sorted(labels.items())), []).append(point)
            for key, points in found.items():
                yield Series(labels=dict(key), points=tuple(points))
