"""Reads and searches traces in Tempo or Jaeger. Both answer a look-up by trace id in the JSON of OTLP.

https://grafana.com/docs/tempo/latest/api_docs/, https://www.jaegertracing.io/docs/latest/architecture/apis/
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from stack.clients.http import SECONDS, Get, get_json, json_of

_KINDS: Final = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}


@dataclass(frozen=True, kw_only=True)
class Span:
    """One stored span; ids in lower-case hex, times in ns since the epoch."""

    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    start: int
    end: int
    error: bool
    message: str = ""
    """Of its status: why it failed."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    deployment: str = ""
    """The Deployment of its process: during a rollout, that of the stable version or of the canary."""


@dataclass(frozen=True, kw_only=True)
class TraceSummary:
    """One result of a search."""

    trace_id: str
    service: str
    """Of the root span, as is `name`."""
    name: str
    start: float
    """In s since the epoch."""
    milliseconds: float


@dataclass(frozen=True)
class TraceStoreClient:
    """The query API of a trace store; `backend` is `tempo` or `jaeger`."""

    backend: str
    base_url: str
    get: Get = httpx.get

    def url(self, trace_id: str) -> str:
        """The URL that returns a trace."""
        path = {"tempo": "/api/v2/traces/", "jaeger": "/api/v3/traces/"}[self.backend]
        return f"{self.base_url}{path}{trace_id}"

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace, by start; none if the store does not have the trace (yet).

        Raises:
            httpx.HTTPError: the store does not answer.
        """
        answer = self.get(self.url(trace_id), headers={"Accept": "application/json"}, timeout=SECONDS)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        document = json_of(answer)
        resources = (document.get("trace") or document.get("result") or document).get("resourceSpans", [])
        return sorted(_spans(resources), key=lambda span: span.start)

    def search(self, query: Mapping[str, Any], *, start: float, end: float) -> list[TraceSummary]:
        """Finds traces.

        Args:
            query: as Grafana's panels have it: of Tempo with the key `query`; of Jaeger with `service`, `operation`,
                `minDuration` and `tags`. Either may have `limit`.
            start: the begin of the searched time, in s since the epoch.
            end: its end.

        Raises:
            QueryError: the store does not answer.
        """
        search = self._search_tempo if self.backend == "tempo" else self._search_jaeger
        return search(query, start, end)

    def _search_tempo(self, query: Mapping[str, Any], start: float, end: float) -> list[TraceSummary]:
        params = {"q": query["query"], "start": int(start), "end": int(end) + 1, "limit": query.get("limit", 20)}
        return [
            TraceSummary(
                trace_id=trace["traceID"].zfill(32),  # Tempo leaves leading zeros out
                service=trace.get("rootServiceName", ""),
                name=trace.get("rootTraceName", ""),
                start=int(trace["startTimeUnixNano"]) / 1e9,
                milliseconds=trace.get("durationMs", 0),
            )
            for trace in get_json(self.get, f"{self.base_url}/api/search", params).get("traces", [])
        ]

    def _search_jaeger(self, query: Mapping[str, Any], start: float, end: float) -> list[TraceSummary]:
        tags = dict(pair.split("=", 1) for pair in query.get("tags", "").split())
        params = {
            "service": query["service"],
            "operation": query.get("operation"),
            "minDuration": query.get("minDuration"),
            "tags": json.dumps(tags) if tags else None,
            "limit": query.get("limit", 20),
            "start": round(start * 1e6),
            "end": round(end * 1e6),
        }
        set_params = {key: value for key, value in params.items() if value is not None}
        document = get_json(self.get, f"{self.base_url}/api/traces", set_params)
        return [_jaeger_summary(trace) for trace in document.get("data") or []]


def _jaeger_summary(trace: Mapping[str, Any]) -> TraceSummary:
    spans = sorted(trace["spans"], key=lambda span: span["startTime"])
    start, end = spans[0]["startTime"], max(span["startTime"] + span["duration"] for span in spans)
    return TraceSummary(
        trace_id=trace["traceID"].zfill(32),
        service=trace["processes"][spans[0]["processID"]]["serviceName"],
        name=spans[0]["operationName"],
        start=start / 1e6,
        milliseconds=(end - start) / 1000,
    )


def _spans(resources: Iterable[dict[str, Any]]) -> Iterable[Span]:
    for resource in resources:
        origin = _attributes(resource.get("resource", {}))
        service = origin.get("service.name", "?")
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                yield Span(
                    span_id=_hex(span["spanId"]),
                    parent_id=_hex(span.get("parentSpanId", "")),
                    service=service,
                    name=span["name"],
                    kind=_kind(span.get("kind", 0)),
                    start=int(span["startTimeUnixNano"]),
                    end=int(span["endTimeUnixNano"]),
                    error=span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR"),
                    message=span.get("status", {}).get("message", ""),
                    attributes=_attributes(span),
                    deployment=origin.get("k8s.deployment.name", ""),
                )


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a span or resource, by key."""
    return {attribute["key"]: _value(attribute.get("value", {})) for attribute in item.get("attributes", [])}


def _value(value: Mapping[str, Any]) -> Any:
    """The value in an `AnyValue` of OTLP's JSON, which has 64-bit integers as text."""
    for kind, content in value.items():
        match kind:
            case "intValue":
                return int(content)
            case "arrayValue":
                return [_value(item) for item in content.get("values", [])]
            case "kvlistValue":
                return {item["key"]: _value(item.get("value", {})) for item in content.get("values", [])}
            case _:
                return content
    return None


def _kind(kind: int | str) -> str:
    return _KINDS.get(kind, "?") if isinstance(kind, int) else kind.removeprefix("SPAN_KIND_")


def _hex(identifier: str) -> str:
    """OTLP's JSON has ids in hex; protobuf's JSON, which Tempo answers with, has them in base64."""
    if len(identifier) in (0, 16):
        return identifier.lower()
    try:
        return base64.b64decode(identifier, validate=True).hex()
    except binascii.Error:
        return identifier.lower()
