"""Reading a trace by its id: Tempo and Jaeger both answer in OTLP's JSON."""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import httpx

_KINDS: Final = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span as the store has it; ids in lower-case hex, times in ns since the epoch."""

    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    start: int
    end: int
    error: bool


@dataclass(frozen=True)
class TraceStoreClient:
    """A trace store's query API.

    `backend` is `tempo` or `jaeger`, `base_url` where its API is reached.
    """

    backend: str
    base_url: str
    get: Callable[..., httpx.Response] = httpx.get
    """`httpx.Client.get`, for who asks often and wants connections kept."""

    def url(self, trace_id: str) -> str:
        """The query that answers with the trace."""
        path = {"tempo": "/api/v2/traces/", "jaeger": "/api/v3/traces/"}[self.backend]
        return f"{self.base_url}{path}{trace_id}"

    def trace(self, trace_id: str) -> list[Span]:
        """Spans of a trace, by start; none if the store does not know it (yet).

        Raises:
            httpx.HTTPError: the store cannot be asked.
        """
        answer = self.get(self.url(trace_id), headers={"Accept": "application/json"}, timeout=10)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        answer.raise_for_status()
        document = answer.json()
        resources = (document.get("trace") or document.get("result") or document).get("resourceSpans", [])
        return sorted(_spans(resources), key=lambda span: span.start)


def _spans(resources: Iterable[dict[str, Any]]) -> Iterable[Span]:
    for resource in resources:
        attributes = {item["key"]: item["value"] for item in resource.get("resource", {}).get("attributes", [])}
        service = attributes.get("service.name", {}).get("stringValue", "?")
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
                )


def _kind(kind: int | str) -> str:
    return _KINDS.get(kind, "?") if isinstance(kind, int) else kind.removeprefix("SPAN_KIND_")


def _hex(identifier: str) -> str:
    """OTLP's JSON has ids in hex; protobuf's JSON, which Tempo answers with, in base64."""
    if len(identifier) in (0, 16):
        return identifier.lower()
    try:
        return base64.b64decode(identifier, validate=True).hex()
    except binascii.Error:
        return identifier.lower()
