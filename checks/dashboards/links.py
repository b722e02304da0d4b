"""The links between traces, logs and metrics, followed as somebody would who clicks them in Grafana."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from checks.dashboards.sources import FoundTrace, Jaeger, Loki, Prometheus, QueryFailed, Tempo
from checks.dashboards.substitute import Window
from contracts import endpoints, metrics
from dashboards.queries import equals, series_of

_OPERATION: Final = "POST /api/tasks"
_ON_THE_WAY_SECONDS: Final = 15.0
"""Within which the lines of a trace may still be on their way to the log store."""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A link: from where to where, whether it led there, and how (a query, an id, or what came back instead)."""

    link: str
    ok: bool
    detail: str


class Dangling(Exception):
    """A link led nowhere; the text says what was asked and what came back."""


@dataclass(frozen=True, kw_only=True)
class Links:
    """Follows the links that Grafana's datasources are provisioned with."""

    provisioned: Mapping[str, Any]
    """The provisioning document of the datasources."""
    traces: Tempo | Jaeger
    prometheus: Prometheus
    logs: Loki | None
    window: Window

    def follow(self) -> list[Followed]:
        """Trace → logs → the same trace; trace → metrics; metrics → a trace. What follows a broken link is left out."""
        done: list[Followed] = []

        def step(link: str, walk: Callable[[], tuple[Any, str]]) -> Any:
            try:
                reached, detail = walk()
            except (Dangling, QueryFailed) as reason:
                done.append(Followed(link=link, ok=False, detail=str(reason)))
                return None
            done.append(Followed(link=link, ok=True, detail=detail))
            return reached

        trace = step("search → trace", self._search)
        if trace is not None:
            if self.logs is not None:
                loki = self.logs
                found = step("trace → logs", lambda: self._lines(trace, loki))
                if found is not None:
                    step("logs → trace", lambda: self._back(found, trace))
            for query in self._datasource(endpoints.TRACES_UID)["tracesToMetrics"]["queries"]:
                step(f"trace → metrics: {query['name']}", lambda query=query: self._metrics(query, trace))  # type: ignore[misc]
        step("metrics → trace", self._exemplar)
        return done

    def _datasource(self, uid: str) -> Mapping[str, Any]:
        sources = {source["uid"]: source for source in self.provisioned["datasources"]}
        data: Mapping[str, Any] = sources[uid]["jsonData"]
        return data

    def _search(self) -> tuple[FoundTrace, str]:
        target = {
            "query": f'{{ resource.service.name = "{endpoints.GATEWAY}" && name = "{_OPERATION}" }}',
            "service": endpoints.GATEWAY,
            "operation": _OPERATION,
            "limit": 20,
        }
        arrived = replace(self.window, end=self.window.end - _ON_THE_WAY_SECONDS)
        found = self.traces.ask(target, arrived).traces
        if not found:
            raise Dangling(f"no trace of {_OPERATION} within the last {self.window.seconds / 60:.0f} minutes")
        trace = min(found, key=lambda trace: trace.at)
        return trace, trace.trace_id

    def _tags(self, link: Mapping[str, Any]) -> str:
        """`$__tags`: the span's attributes under the names that the link gives them."""
        span = {"service.name": endpoints.GATEWAY}
        return ", ".join(f'{tag["value"]}="{span[tag["key"]]}"' for tag in link["tags"])

    def _lines(self, trace: FoundTrace, loki: Loki) -> tuple[Mapping[str, str], str]:
        link = self._datasource(endpoints.TRACES_UID)["tracesToLogsV2"]
        query = (
            link["query"]
            .replace("$$", "$")
            .replace("${__tags}", self._tags(link))
            .replace("${__trace.traceId}", trace.trace_id)
        )
        around = Window(start=trace.at - 300, end=trace.at + 300, step=15)
        lines = loki.ask({"expr": query}, around).lines
        if not lines:
            raise Dangling(f"no line: {query}")
        return lines[0].labels, f"{len(lines)} lines: {query}"

    def _back(self, labels: Mapping[str, str], trace: FoundTrace) -> tuple[str, str]:
        (field,) = self._datasource(endpoints.LOGS_UID)["derivedFields"]
        trace_id = labels.get(field["matcherRegex"], "")
        if field["datasourceUid"] != endpoints.TRACES_UID or trace_id != trace.trace_id:
            raise Dangling(f"the line leads to {trace_id!r}, not to {trace.trace_id}")
        if not self.traces.has(trace_id):
            raise Dangling(f"the store does not have {trace_id}")
        return trace_id, trace_id

    def _metrics(self, query: Mapping[str, Any], trace: FoundTrace) -> tuple[str, str]:
        link = self._datasource(endpoints.TRACES_UID)["tracesToMetrics"]
        text = query["query"].replace("$$", "$").replace("$__tags", self._tags(link))
        around = Window(start=trace.at - 600, end=min(trace.at + 600, self.window.end), step=15)
        if self.prometheus.ask({"expr": text}, around).empty:
            raise Dangling(f"no data: {text}")
        return text, text

    def _exemplar(self) -> tuple[str, str]:
        (destination,) = self._datasource(endpoints.PROMETHEUS_UID)["exemplarTraceIdDestinations"]
        histograms = [f"{name}_bucket" for name in (metrics.SPAN_DURATION, metrics.STORED_SPAN_DURATION)]
        query = series_of(histograms, equals(metrics.SERVICE, endpoints.GATEWAY))
        ids = [
            labels[destination["name"]]
            for labels in self.prometheus.exemplars(query, self.window)
            if destination["name"] in labels
        ]
        if not ids:
            raise Dangling(f"no exemplar with a {destination['name']}: {query}")
        if destination["datasourceUid"] != endpoints.TRACES_UID or not self.traces.has(ids[0]):
            raise Dangling(f"the store does not have {ids[0]}, the trace of an exemplar")
        return ids[0], f"{len(ids)} exemplars: {query}"
