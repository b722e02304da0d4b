"""Loki's query API, https://grafana.com/docs/loki/latest/reference/loki-http-api/."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from stack.clients.http import Get, get_json
from stack.clients.prometheus import Series, to_series


@dataclass(frozen=True, kw_only=True)
class Line:
    """A log line."""

    time: float
    """In s since the epoch."""
    labels: Mapping[str, str]
    """Its stream's labels, and its structured metadata."""
    text: str


@dataclass(frozen=True)
class LokiClient:
    """Queries one Loki. Every method raises `QueryError` if Loki does not answer."""

    base_url: str
    get: Get = httpx.get

    def query_range(
        self, logql: str, *, start: float, end: float, limit: int = 100, step: float = 15
    ) -> tuple[list[Line], list[Series]]:
        """Lines, the latest first, of a query that selects lines; series of one that counts them."""
        params = {"query": logql, "start": round(start * 1e9), "end": round(end * 1e9), "limit": limit, "step": step}
        data = get_json(self.get, f"{self.base_url}/loki/api/v1/query_range", params)["data"]
        if data["resultType"] != "streams":
            return [], [to_series(item["metric"], item["values"]) for item in data["result"]]
        lines = [
            Line(time=int(time) / 1e9, labels=stream["stream"], text=text)
            for stream in data["result"]
            for time, text, *_ in stream["values"]
        ]
        return sorted(lines, key=lambda line: -line.time), []
