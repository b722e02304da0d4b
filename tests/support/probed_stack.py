"""A stack as the probe sees it: the gateway, Jaeger, Prometheus and Loki answer what its requests left."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from contracts.hops import HOPS, Hop
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.probe.root import Collector
from stack.probe.telemetry import Telemetry

TASK = "3f2b1c9e-0000-4000-8000-000000000001"
KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}


@dataclass
class ProbedStack:
    """Answers the probe's requests as the gateway, Jaeger, Prometheus and Loki do."""

    broken: frozenset[str] = frozenset()
    """Steps whose store does not have the telemetry."""
    started: int = 1
    """Start of all spans, in ns since the epoch."""
    trace_id: str = ""
    span_id: str = ""
    requests: list[httpx.Request] = field(default_factory=list)
    is_served: bool = False
    root: dict[str, Any] = field(default_factory=dict)
    """The root span that the probe sent, as `resourceSpans` has it."""
    on_accept: Callable[["ProbedStack"], object] = lambda _: None
    """Called with each accepted request."""
    on_root: Callable[["ProbedStack"], object] = lambda _: None
    """Called with each root span."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        if path == "/v1/traces":
            (self.root,) = json.loads(request.content)["resourceSpans"]
            self.on_root(self)
            return httpx.Response(503 if "root" in self.broken else 200, json={})
        if request.method == "POST":
            return self._accept(request)
        if path.startswith("/api/tasks/"):
            status = "error" if "task" in self.broken else "completed"
            return httpx.Response(200, json={"id": TASK, "status": status, "result": {"error": "refused"}})
        if path.startswith("/api/v3/traces/"):
            return self._trace()
        if path == "/api/traces":
            return httpx.Response(200, json={"data": self._search()})
        if path.startswith("/loki"):
            return self._lines()
        return httpx.Response(200, json={"data": self._metrics(path)})

    def _accept(self, request: httpx.Request) -> httpx.Response:
        if "request" in self.broken:
            return httpx.Response(503, json={})
        _, self.trace_id, self.span_id, _ = request.headers["traceparent"].split("-")
        self.is_served = True
        self.on_accept(self)
        return httpx.Response(202, json={"id": TASK}, headers={"traceparent": request.headers["traceparent"]})

    def _trace(self) -> httpx.Response:
        return httpx.Response(200, json={"result": {"resourceSpans": self.spans()}})

    def spans(self) -> list[dict[str, Any]]:
        """The spans of the accepted request, as the JSON of OTLP with hexadecimal ids."""
        ids = {hop: f"{number:016x}" for number, hop in enumerate(HOPS, 1)}
        hops = HOPS[:-1] if "trace" in self.broken else HOPS
        resources = [self._resource(hop, ids) for hop in hops]
        return [*([self.root] if self.root and "root" not in self.broken else []), *resources]

    def _resource(self, hop: Hop, ids: dict[Hop, str]) -> dict[str, Any]:
        span = {
            "spanId": ids[hop],
            "parentSpanId": ids[hop.parent] if hop.parent else self.span_id,
            "name": hop.name,
            "kind": KINDS[hop.kind],
            "startTimeUnixNano": str(self.started),
            "endTimeUnixNano": str(self.started + 1_000_000),
            "attributes": [{"key": "task.id", "value": {"stringValue": TASK}}],
        }
        service = {"key": "service.name", "value": {"stringValue": hop.service}}
        return {"resource": {"attributes": [service]}, "scopeSpans": [{"spans": [span]}]}

    def _search(self) -> list[dict[str, Any]]:
        if "search" in self.broken:
            return []
        span = {"startTime": 1, "duration": 1, "processID": "p", "operationName": "x"}
        return [{"traceID": self.trace_id, "spans": [span], "processes": {"p": {"serviceName": "task-manager"}}}]

    def _lines(self) -> httpx.Response:
        if "logs" in self.broken:
            return httpx.Response(500)
        lines = [{"stream": {}, "values": [["1", "task accepted"]]}]
        return httpx.Response(200, json={"data": {"resultType": "streams", "result": lines}})

    def _metrics(self, path: str) -> Any:
        if path.endswith("query_exemplars"):
            exemplar = {"labels": {"trace_id": self.trace_id}}
            return [{"exemplars": [] if "exemplars" in self.broken else [exemplar]}]
        calls = 2 if self.is_served and "metrics" not in self.broken else 1
        series = [
            {
                "metric": {"service_name": hop.service, "span_kind": f"SPAN_KIND_{hop.kind}", "span_name": hop.name},
                "value": [0, str(calls)],
            }
            for hop in HOPS
        ]
        return {"resultType": "vector", "result": series}


def telemetry(client: httpx.Client, traces: TraceStoreClient) -> Telemetry:
    """Return what the probe looks into; a `ProbedStack` answers the client."""
    return Telemetry(
        collector=Collector(url="http://collector", token="t", environment="test", post=client.post),
        traces=traces,
        prometheus=PrometheusClient("http://prometheus", client.get),
        loki=LokiClient("http://loki", client.get),
        tail_sampling=False,
    )
