"""Collects what an on-call engineer asks first about an alert, from all stores at the same time."""

import difflib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from contracts.errors import UserError
from contracts.services import SERVICES
from dashboards.config import MonitoringConfig
from dashboards.panels.traces import TraceSearch, search_query
from dashboards.rules import AlertRule, alert_rules, groups
from dashboards.rules.model import dashboard_url, runbook_url
from dashboards.rules.runbook import first_query
from lean_tracing import Redactor
from stack.assistant.sources import Sources
from stack.clients.prometheus import PrometheusClient, Series
from stack.clients.traces import Span, TraceStoreClient
from stack.explain.alerts import NEW_SECONDS, by_start, start_of
from stack.explain.change import Change
from stack.explain.logs import WINDOW_SECONDS as LOG_SECONDS
from stack.explain.logs import newest_warnings
from stack.explain.operations import Operation, compare, failing, failing_rows, slow_rows
from stack.explain.queries import (
    DOWN_TARGETS,
    FAILING_NOW,
    FAILING_PREVIOUSLY,
    SLOW_NOW,
    SLOW_PREVIOUSLY,
    WINDOW_SECONDS,
    failed_spans,
    last_fired,
)
from stack.explain.sections import Question, Section, answers
from stack.stores import NO_TRACE_QUERIES

TRACE_SECONDS: Final = 5.0
"""Time within which the trace store must answer: its search is the slowest of all sources."""
MAX_TEXT: Final = 500
_MAX_ROWS: Final = 8
_MAX_TRACES: Final = 20
"""Failed traces that are looked at: most may have a response 4xx only."""
_ANNOTATIONS: Final = (("summary", ""), ("description", ""), ("operation", "Operation: "), ("users", "Users: "))
_MAX_CHANGES: Final = 8
_LOG_MINUTES: Final = f"{LOG_SECONDS / 60:g} minutes"


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """A failed trace."""

    trace_id: str
    operation: str
    error: str
    end: float
    """Of the span with the error, in s since the epoch."""


@dataclass
class _Alert:
    """What Prometheus knows of the alert."""

    states: list[str] = field(default_factory=list)
    annotations: list[Mapping[str, str]] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    """Services that its labels name."""


def rules_by_name(config: MonitoringConfig) -> dict[str, AlertRule]:
    """Returns the alert rules by name."""
    return {rule.name: rule for rule in alert_rules(groups(config))}


def find_alert(name: str, config: MonitoringConfig) -> AlertRule:
    """Returns the alert rule with this name.

    Raises:
        UserError: there is none; the message has the nearest names.
    """
    rules = rules_by_name(config)
    if name in rules:
        return rules[name]
    by_lower = {known.lower(): known for known in rules}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.4)
    nearest = ", ".join(by_lower[match] for match in close) or ", ".join(sorted(rules))
    raise UserError(f"there is no alert {name!r}; the nearest names are {nearest}")


class Explainer:
    """Explains the alerts of one stack."""

    def __init__(
        self,
        sources: Sources,
        changes: Callable[[], Sequence[Change]],
        unready: Callable[[], Sequence[str]] = tuple,
        fatal: Callable[[], Sequence[str]] = tuple,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Creates the explainer.

        Args:
            sources: reach the stores.
            changes: what changed in the cluster, the newest first.
            unready: the pods that are not ready, each as a sentence.
            fatal: the last fatal errors of the dependencies, each as a sentence.
            clock: the time in s since the epoch.
        """
        self._sources = sources
        self._changes = changes
        self._unready = unready
        self._fatal = fatal
        self._clock = clock
        self._redactor = Redactor()

    def explain(self, rule: AlertRule) -> Iterator[Section]:
        """Yields the sections for an alert, each as soon as it is known."""
        yield from self._answers(
            {
                "Alert": Question(lambda: self._alert(rule)),
                "What changed last": Question(self._what_changed),
                "Failing operations": Question(self._failing),
                "Fatal errors of PostgreSQL and Kafka": Question(self._fatal_errors),
                "Warnings and errors of the services": Question(self._warnings),
                "First query of the runbook": Question(lambda: self._first_query(rule)),
                "Error and trace": Question(lambda: self._failure(rule), TRACE_SECONDS),
            }
        )
        yield Section(title="Links", lines=self._links(rule))

    def overview(self, rules: Mapping[str, AlertRule]) -> Iterator[Section]:
        """Yields what is wrong now, if no alert is named: with an alert that is active, or with none yet.

        Args:
            rules: the alert rules, by name.
        """
        return self._answers(
            {
                "What changed last": Question(self._what_changed),
                "Down now": Question(self._down),
                "Alerts, the newest first": Question(lambda: self._active_alerts(rules)),
                "Failing operations": Question(self._failing),
                "Fatal errors of PostgreSQL and Kafka": Question(self._fatal_errors),
                "Warnings and errors of the services": Question(self._warnings),
                "Slow operations": Question(self._slow),
                "Error and trace": Question(lambda: self._failure(None), TRACE_SECONDS),
            }
        )

    def _answers(self, questions: Mapping[str, Question]) -> Iterator[Section]:
        return answers(questions, self._text)

    def _active_alerts(self, rules: Mapping[str, AlertRule]) -> Sequence[str]:
        with self._sources.prometheus() as prometheus:
            active = [alert for alert in prometheus.alerts() if alert["labels"]["alertname"] in rules]
        new, older = by_start(active, self._clock())
        if not new and not older:
            return ["no alert is pending or firing; what fails may be too new for an alert"]
        first = (new or older)[0]
        name = first["labels"]["alertname"]
        lines = [self._title(first), *self._annotations(first["annotations"])]
        lines += [*self._links(rules[name]), f"More about it: ./wct explain {name}"]
        lines += self._alert_rows(new[1:])
        if not new:
            return [*lines, *self._alert_rows(older[1:])]
        heading = [f"Older than {NEW_SECONDS / 60:g} minutes, perhaps of an earlier fault:"] if older else []
        return [*lines, *heading, *self._alert_rows(older)]

    def _alert_rows(self, alerts: Sequence[Mapping[str, Any]]) -> list[str]:
        rows = [self._text(f"{self._title(alert)}: {alert['annotations'].get('summary', '')}") for alert in alerts]
        return [*rows[:_MAX_ROWS], *([f"… and {len(rows) - _MAX_ROWS} more"] if len(rows) > _MAX_ROWS else [])]

    def _title(self, alert: Mapping[str, Any]) -> str:
        labels = alert["labels"]
        start = f"{alert['activeAt'][:19]}Z, {_ago(self._clock() - start_of(alert))} ago"
        return f"{labels['alertname']} ({labels.get('severity', 'unknown')}): {alert['state']} since {start}"

    def _down(self) -> Sequence[str]:
        with self._sources.prometheus() as prometheus:
            targets = prometheus.query(DOWN_TARGETS, self._clock())
        named = sorted({f"{target.labels.get('job')} ({target.labels.get('instance')})" for target in targets})
        lines = [*(f"Prometheus cannot scrape {name}" for name in named), *self._unready()]
        return [self._text(line) for line in lines] or ["all pods are ready, and Prometheus can scrape all targets"]

    def _slow(self) -> Sequence[str]:
        with self._sources.prometheus() as prometheus:
            now, previous = (prometheus.query(query, self._clock()) for query in (SLOW_NOW, SLOW_PREVIOUSLY))
        return slow_rows(compare(now, previous)) or ["the 95th percentile of no operation was above 500 ms"]

    def _fatal_errors(self) -> Sequence[str]:
        return [self._text(line) for line in self._fatal()] or [f"none was logged within {_LOG_MINUTES}"]

    def _warnings(self) -> Sequence[str]:
        with self._sources.loki() as loki:
            lines = newest_warnings(loki, self._clock())
        return [self._text(line) for line in lines] or [f"no service logged one within {_LOG_MINUTES}"]

    def _alert(self, rule: AlertRule) -> Sequence[str]:
        with self._sources.prometheus() as prometheus:
            alert = self._state(prometheus, rule)
            state = "; ".join(alert.states) or self._past(prometheus, rule)
        lines = [f"{rule.name} ({rule.severity}): {state}"]
        for annotations in alert.annotations[:_MAX_ROWS]:
            lines += self._annotations(annotations)
        return lines

    def _annotations(self, annotations: Mapping[str, str]) -> list[str]:
        return [self._text(f"{label}{annotations[key]}") for key, label in _ANNOTATIONS if key in annotations]

    def _past(self, prometheus: PrometheusClient, rule: AlertRule) -> str:
        now = self._clock()
        fired = prometheus.query(last_fired(rule.name), now)
        past = f"it fired last {_ago(now - fired[0].value)} ago" if fired else "it did not fire within 24 hours"
        return f"neither pending nor firing now; {past}"

    def _state(self, prometheus: PrometheusClient, rule: AlertRule) -> _Alert:
        alert = _Alert()
        for active in prometheus.alerts():
            labels = active["labels"]
            if labels["alertname"] == rule.name:
                alert.states.append(f"{active['state']} since {active['activeAt'][:19]}Z")
                alert.annotations.append(active["annotations"])
                named = (labels.get(label) for label in ("service_name", "source", "job", "service"))
                alert.services += [name for name in named if name in SERVICES]
        return alert

    def _failing(self) -> Sequence[str]:
        with self._sources.prometheus() as prometheus:
            operations = self._failures(prometheus)
        return failing_rows(operations) or ["no operation failed within 6 minutes"]

    def _failures(self, prometheus: PrometheusClient) -> list[Operation]:
        now, previous = (prometheus.query(query, self._clock()) for query in (FAILING_NOW, FAILING_PREVIOUSLY))
        return compare(now, previous)

    def _failure(self, rule: AlertRule | None) -> Sequence[str]:
        with self._sources.prometheus() as prometheus:
            services = self._state(prometheus, rule).services if rule else []
            operations = failing(self._failures(prometheus))
            candidates = list(dict.fromkeys([*services, *(operation.service for operation in operations)]))
            trace_ids = [trace_id for service in candidates for trace_id in self._exemplars(prometheus, service)]
        if not operations:
            return ["no operation failed within 6 minutes"]
        if not self._sources.settings.traces.queried:
            return [NO_TRACE_QUERIES, *(f"Trace to look up there: {trace_id}" for trace_id in trace_ids[-_MAX_ROWS:])]
        failure = self._failed_trace(candidates, trace_ids)
        if failure is None:
            return ["the trace store has none of the failed traces yet"]
        # An old trace may be of another fault, which has ended.
        age = _ago(self._clock() - failure.end)
        trace = f"Trace: {failure.trace_id}, ended {age} ago"
        return [trace, f"Operation: {failure.operation}", f"Error: {failure.error}"]

    def _exemplars(self, prometheus: PrometheusClient, service: str) -> list[str]:
        end = self._clock()
        exemplars = prometheus.exemplars(failed_spans(service), start=end - WINDOW_SECONDS, end=end)
        return [exemplar["trace_id"] for exemplar in exemplars if "trace_id" in exemplar][-3:]

    def _failed_trace(self, services: Sequence[str], trace_ids: Sequence[str]) -> _Failure | None:
        """Returns the first trace that the store has: the latest that a search finds, else that of an exemplar."""
        end = self._clock()
        with self._sources.traces() as store:
            for service in services:
                search = TraceSearch(service=service, failed=True)
                query = {**search_query(self._sources.settings.traces.backend, search), "limit": _MAX_TRACES}
                results = store.search(query, start=end - WINDOW_SECONDS, end=end)
                latest = sorted(results, key=lambda trace: -trace.start)
                if failure := self._first_failure(store, [trace.trace_id for trace in latest], service):
                    return failure
            return self._first_failure(store, trace_ids, services[0])

    def _first_failure(self, store: TraceStoreClient, trace_ids: Sequence[str], service: str) -> _Failure | None:
        for trace_id in trace_ids:
            if span := _cause(store.trace(trace_id), service):
                operation = self._text(f"{span.service}: {span.name}")
                return _Failure(
                    trace_id=trace_id, operation=operation, error=self._text(_error(span)), end=span.end / 1e9
                )
        return None

    def _what_changed(self) -> Sequence[str]:
        journal = self._sources.journal()
        lines = ["no rollout is under way, and the last one was not rolled back"]
        if journal is not None:
            changes = ", ".join(journal.stable.changes_to(journal.canary))
            lines = [f"rollout {journal.phase.value} at stage {journal.stage} since {_time(journal.since)}: {changes}"]
            lines += [f"rolled back because {journal.reason}"] if journal.reason else []
        now = self._clock()
        for change in self._changes()[:_MAX_CHANGES]:
            lines.append(f"{_ago(now - change.seconds)} ago, {_time(change.seconds)}: {change.text}")
        return [self._text(line) for line in lines]

    def _first_query(self, rule: AlertRule) -> Sequence[str]:
        query = first_query(rule.name)
        with self._sources.prometheus() as prometheus:
            result = prometheus.query(query, self._clock())
        rows = [self._text(_row(series)) for series in sorted(result, key=lambda series: -series.value)]
        left_out = [f"… and {len(rows) - _MAX_ROWS} more"] if len(rows) > _MAX_ROWS else []
        return [*query.splitlines(), *(f"→ {row}" for row in rows[:_MAX_ROWS] or ["no result"]), *left_out]

    def _links(self, rule: AlertRule) -> Sequence[str]:
        grafana, names = self._sources.settings.grafana.url, self._sources.settings.grafana.names
        return [
            f"Runbook: {runbook_url(grafana, rule.name, names)} (dashboards/runbooks/{rule.name}.md)",
            f"Dashboard: {dashboard_url(grafana, rule.dashboard, names)}",
        ]

    def _text(self, text: str) -> str:
        # A foreign page can put escape sequences into an error; a terminal would run them.
        printable = "".join(char if char.isprintable() or char in "\t\n" else " " for char in text)
        return self._redactor.text(printable, MAX_TEXT)


def _cause(spans: Sequence[Span], service: str) -> Span | None:
    """Returns the failed span that no failed span has as its parent: where the failure began."""
    failed = [span for span in spans if span.error and not _is_refusal(span)]
    parents = {span.parent_id for span in failed}
    leaves = [span for span in failed if span.span_id not in parents]
    with_text = [span for span in leaves if span.message] or leaves
    return next((span for span in with_text if span.service == service), next(iter(with_text), None))


def _is_refusal(span: Span) -> bool:
    """Returns whether the server answered 4xx: it works, and refuses this request."""
    return str(span.attributes.get("http.response.status_code", "")).startswith("4")


def _error(span: Span) -> str:
    kind = str(span.attributes.get("error.type", ""))
    status = str(span.attributes.get("http.response.status_code", ""))
    return ": ".join(dict.fromkeys(part for part in (kind or status, span.message) if part)) or "the span has no text"


def _row(series: Series) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(series.labels.items()) if name != "__name__")
    return f"{labels or 'value'}: {series.value:.4g}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
