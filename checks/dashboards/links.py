"""Follows the links between traces, logs and metrics as a user does who clicks them in Grafana."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from checks.dashboards.sources import Answer
from checks.dashboards.substitute import Window
from contracts import endpoints, metrics
from contracts.hops import REQUEST
from contracts.services import GATEWAY
from dashboards.names import UNCHANGED, Names
from dashboards.queries import equals, series_of
from stack.clients.http import QueryError
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient, TraceSummary

_OPERATION: Final = REQUEST.name
_ON_THE_WAY_SECONDS: Final = 15.0
"""The time after which the log lines of a trace are in the log store."""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A link, whether it works, and its query or trace id, or the error."""

    link: str
    ok: bool
    detail: str


class BrokenLink(Exception):
    """A link leads nowhere; the message has the query and the answer."""


@dataclass(frozen=True, kw_only=True)
class Links:
    """Follows the links that Grafana's datasources are provisioned with."""

    provisioned: Mapping[str, Any]
    """The provisioning document of the datasources."""
    names: Names = UNCHANGED
    """Of the datasources."""
    traces: TraceStoreClient
    prometheus: PrometheusClient
    loki: LokiClient | None
    window: Window

    def follow(self) -> list[Followed]:
        """Trace → logs → the same trace; trace → metrics; metrics → a trace. Links after a broken one are skipped."""
        done: list[Followed] = []

        def step(link: str, follow: Callable[[], tuple[Any, str]]) -> Any:
            try:
                target, detail = follow()
            except (BrokenLink, QueryError) as reason:
                done.append(Followed(link=link, ok=False, detail=str(reason)))
                return None
            done.append(Followed(link=link, ok=True, detail=detail))
            return target

        trace = step("search → trace", self._search)
        if trace is not None:
            if self.loki is not None:
                loki = self.loki
                labels = step("trace → logs", lambda: self._lines(trace, loki))
                if labels is not None:
                    step("logs → trace", lambda: self._back(labels, trace))
            for query in self._datasource(endpoints.TRACES_UID)["tracesToMetrics"]["queries"]:
                step(f"trace → metrics: {query['name']}", lambda query=query: self._metrics(query, trace))  # type: ignore[misc]
        step("metrics → trace", self._exemplar)
        return done

    def _datasource(self, uid: str) -> Mapping[str, Any]:
        sources = {source["uid"]: source for source in self.provisioned["datasources"]}
        data: Mapping[str, Any] = sources[self.names.uid(uid)]["jsonData"]
        return data

    def _search(self) -> tuple[TraceSummary, str]:
        target = {
            "query": f'{{ resource.service.name = "{GATEWAY}" && name = "{_OPERATION}" }}',
            "service": GATEWAY,
            "operation": _OPERATION,
            "limit": 20,
        }
        traces = self.traces.search(target, start=self.window.start, end=self.window.end - _ON_THE_WAY_SECONDS)
        if not traces:
            raise BrokenLink(f"no trace of {_OPERATION} within the last {self.window.seconds / 60:.0f} minutes")
        trace = min(traces, key=lambda trace: trace.start)
        return trace, trace.trace_id

    def _tags(self, link: Mapping[str, Any]) -> str:
        """`$__tags`: the span's attributes under the names that the link gives them."""
        span = {"service.name": GATEWAY}
        return ", ".join(f'{tag["value"]}="{span[tag["key"]]}"' for tag in link["tags"])

    def _lines(self, trace: TraceSummary, loki: LokiClient) -> tuple[Mapping[str, str], str]:
        link = self._datasource(endpoints.TRACES_UID)["tracesToLogsV2"]
        query = (
            link["query"]
            .replace("$$", "$")
            .replace("${__tags}", self._tags(link))
            .replace("${__trace.traceId}", trace.trace_id)
        )
        lines, _ = loki.query_range(query, start=trace.start - 300, end=trace.start + 300)
        if not lines:
            raise BrokenLink(f"no line: {query}")
        return lines[0].labels, f"{len(lines)} lines: {query}"

    def _back(self, labels: Mapping[str, str], trace: TraceSummary) -> tuple[str, str]:
        (field,) = self._datasource(endpoints.LOGS_UID)["derivedFields"]
        trace_id = labels.get(field["matcherRegex"], "")
        if field["datasourceUid"] != self.names.uid(endpoints.TRACES_UID) or trace_id != trace.trace_id:
            raise BrokenLink(f"the line leads to {trace_id!r}, not to {trace.trace_id}")
        if not self.traces.trace(trace_id):
            raise BrokenLink(f"the store does not have {trace_id}")
        return trace_id, trace_id

    def _metrics(self, query: Mapping[str, Any], trace: TraceSummary) -> tuple[str, str]:
        link = self._datasource(endpoints.TRACES_UID)["tracesToMetrics"]
        text = query["query"].replace("$$", "$").replace("$__tags", self._tags(link))
        end = min(trace.start + 600, self.window.end)
        series = self.prometheus.query_range(text, start=trace.start - 600, end=end, step=15)
        if Answer(series=tuple(series)).is_empty:
            raise BrokenLink(f"no data: {text}")
        return text, text

    def _exemplar(self) -> tuple[str, str]:
        (destination,) = self._datasource(endpoints.PROMETHEUS_UID)["exemplarTraceIdDestinations"]
        histograms = [f"{name}_bucket" for name in (metrics.SPAN_DURATION, metrics.STORED_SPAN_DURATION)]
        query = series_of(histograms, equals(metrics.SERVICE, GATEWAY))
        ids = [
            labels[destination["name"]]
            for labels in self.prometheus.exemplars(query, start=self.window.start, end=self.window.end)
            if destination["name"] in labels
        ]
        if not ids:
            raise BrokenLink(f"no exemplar with a {destination['name']}: {query}")
        if destination["datasourceUid"] != self.names.uid(endpoints.TRACES_UID) or not self.traces.trace(ids[0]):
            raise BrokenLink(f"the store does not have {ids[0]}, the trace of an exemplar")
        return ids[0], f"{len(ids)} exemplars: {query}"
