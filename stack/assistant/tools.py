"""The questions that an assistant may ask. Each answer is redacted, and bounded in size."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import Field

from dashboards.config import MonitoringConfig
from dashboards.panels.traces import TraceSearch, search_query
from dashboards.rules import alert_rules, groups
from dashboards.rules.runbook import RUNBOOKS
from lean_tracing import Redactor
from stack.assistant.sources import Sources
from stack.errors import DeployError

MAX_MINUTES: Final = 24 * 60
MAX_SERIES: Final = 50
MAX_POINTS: Final = 60
MAX_SPANS: Final = 300
MAX_LINES: Final = 100
MAX_TEXT: Final = 2_000
"""Characters of each text in an answer."""

_NAME: Final = r"^[\w.-]+$"
_QUOTABLE: Final = r'^[^"\\]*$'

Answer = dict[str, Any]
Minutes = Annotated[float, Field(gt=0, le=MAX_MINUTES, description="Length of the time window that ends now.")]


class Tools:
    """Reads one stack. The docstring and the arguments of each public method are what the assistant sees of it."""

    def __init__(
        self,
        sources: Sources,
        config: MonitoringConfig,
        redactor: Redactor | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Creates the tools.

        Args:
            sources: reach the stores.
            config: of the dashboards and rules.
            redactor: redacts the answers once more; the services redact what they send.
            clock: the time in s since the epoch; every time window ends then.
        """
        self._sources = sources
        self._expressions: dict[str, list[str]] = {}
        for rule in alert_rules(groups(config)):
            self._expressions.setdefault(rule.name, []).append(rule.query)
        self._redactor = redactor or Redactor()
        self._clock = clock

    def all(self) -> tuple[Callable[..., Answer], ...]:
        """The tools, in the order in which an on-call engineer uses them."""
        return (
            self.alerts,
            self.runbook,
            self.search_traces,
            self.get_trace,
            self.query_logs,
            self.query_metrics,
            self.rollout,
        )

    def alerts(self) -> Answer:
        """List the alerts that are pending or firing, with their labels, texts and start. Begin here."""
        with self._sources.prometheus() as prometheus:
            alerts = prometheus.alerts()
        return {
            "alerts": self._redact(
                {
                    "name": alert["labels"]["alertname"],
                    "state": alert["state"],
                    "since": alert["activeAt"],
                    "labels": {name: value for name, value in alert["labels"].items() if name != "alertname"},
                    "annotations": alert["annotations"],
                }
                for alert in alerts
            )
        }

    def runbook(
        self, alert: Annotated[str, Field(description="Name of the alert; leave it out to list all names.")] = ""
    ) -> Answer:
        """Return the runbook and the PromQL expressions of an alert, or the names of all alerts."""
        if not alert:
            return {"alerts": sorted(self._expressions)}
        if alert not in self._expressions:
            raise DeployError(f"there is no alert {alert!r}; call this tool without an argument to list them")
        return {
            "alert": alert,
            "expressions": self._expressions[alert],
            "runbook": (RUNBOOKS / f"{alert}.md").read_text(),
        }

    def search_traces(
        self,
        service: Annotated[str, Field(pattern=_NAME, description="Name of a service that has a span in the trace.")],
        operation: Annotated[
            str, Field(pattern=_QUOTABLE, description="Name of the span, for example `POST /tasks`.")
        ] = "",
        failed: Annotated[bool, Field(description="Only traces in which this span failed.")] = False,
        slower_than_ms: Annotated[int, Field(ge=0, description="Only spans that took longer, in ms.")] = 0,
        minutes: Minutes = 30,
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> Answer:
        """Find traces by a span's service, name, failure and duration; the latest first."""
        search = TraceSearch(
            service=service, operation=operation or None, failed=failed, slower_than_ms=slower_than_ms or None
        )
        query = {**search_query(self._sources.settings.traces.backend, search), "limit": limit}
        end = self._clock()
        with self._sources.traces() as store:
            traces = store.search(query, start=end - minutes * 60, end=end)
        latest = sorted(traces, key=lambda trace: -trace.start)[:limit]
        return {"traces": self._redact({**asdict(trace), "start": _text_of(trace.start)} for trace in latest)}

    def get_trace(
        self, trace_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="32 lower-case hex characters.")]
    ) -> Answer:
        """Return the spans of a trace by start: service, name, duration, failure and attributes."""
        with self._sources.traces() as store:
            spans = store.trace(trace_id)
        if not spans:
            raise DeployError(f"the store has no trace {trace_id}: not yet, not any more, or it was not sampled")
        begin = spans[0].start
        return {
            "trace_id": trace_id,
            "start": _text_of(begin / 1e9),
            "spans": self._redact(
                {
                    "span_id": span.span_id,
                    "parent_id": span.parent_id,
                    "service": span.service,
                    "name": span.name,
                    "kind": span.kind,
                    "start_ms": (span.start - begin) / 1e6,
                    "milliseconds": (span.end - span.start) / 1e6,
                    "failed": span.error,
                    "message": span.message,
                    "attributes": span.attributes,
                }
                for span in spans[:MAX_SPANS]
            ),
            "left_out": max(0, len(spans) - MAX_SPANS),
        }

    def query_logs(
        self,
        logql: Annotated[str, Field(description='LogQL, for example `{service_name="gateway"} | trace_id="…"`.')],
        minutes: Minutes = 30,
        limit: Annotated[int, Field(ge=1, le=MAX_LINES)] = 30,
    ) -> Answer:
        """Run a LogQL query. Returns log lines, the latest first, or series if the query counts lines."""
        end = self._clock()
        step = _step(minutes)
        with self._sources.loki() as loki:
            lines, series = loki.query_range(logql, start=end - minutes * 60, end=end, limit=limit, step=step)
        return {
            "lines": self._redact(
                {"time": _text_of(line.time), "labels": line.labels, "text": line.text} for line in lines
            ),
            "series": self._redact({"labels": one.labels, "points": one.points} for one in series[:MAX_SERIES]),
            "left_out_series": max(0, len(series) - MAX_SERIES),
        }

    def query_metrics(
        self,
        promql: Annotated[str, Field(description="PromQL. The runbooks and alerts hold expressions that work.")],
        minutes: Annotated[
            float, Field(ge=0, le=MAX_MINUTES, description="0: the value now; otherwise the window that ends now.")
        ] = 0,
    ) -> Answer:
        """Run a PromQL query, now or over a window. A point is a time in s since the epoch, and a value."""
        end = self._clock()
        with self._sources.prometheus() as prometheus:
            if minutes:
                series = prometheus.query_range(promql, start=end - minutes * 60, end=end, step=_step(minutes))
            else:
                series = prometheus.query(promql, end)
        return {
            "series": self._redact({"labels": one.labels, "points": one.points} for one in series[:MAX_SERIES]),
            "left_out_series": max(0, len(series) - MAX_SERIES),
        }

    def rollout(self) -> Answer:
        """Return the state of the rollout: phase, stage, the stable and the new version, and why it was rolled back."""
        journal = self._sources.journal()
        if journal is None:
            return {"rollout": None, "meaning": "no rollout is under way, and the last one was not rolled back"}
        return {
            "rollout": {
                "phase": journal.phase.value,
                "since": _text_of(journal.since),
                "stage": journal.stage,
                "last_successful_stage": journal.passed,
                "changes": self._redact(journal.stable.changes_to(journal.canary)),
                "reason": self._redactor.text(journal.reason, MAX_TEXT),
            }
        }

    def _redact(self, items: Iterable[Any]) -> list[Any]:
        return [self._redactor.named("", item, MAX_TEXT) for item in items]


def _step(minutes: float) -> float:
    """Seconds between two points of a window."""
    return max(5.0, minutes * 60 / MAX_POINTS)


def _text_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
