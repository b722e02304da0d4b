"""The series that Grafana's tab *Service Graph* reads: for its graph, the edges of the dashboard *Dependencies*; for
its table, the requests by span name.

Grafana expects the names and labels of Tempo's metrics generator, which is not used: it sees no sampled out spans.

Each series is a copy of a series of the span metrics, with more labels. A sum of several counters would be no counter:
it falls when a Collector restarts or a series expires, which `rate` takes for a reset, and counts the rest again.
"""

from typing import Final

from contracts import metrics
from contracts.metrics import SERVICE
from dashboards.config import MonitoringConfig
from dashboards.queries import SERVER_SPAN, series
from dashboards.rules.dependencies import FAILED, Edges, edges
from dashboards.rules.model import RecordingRule, RuleGroup

_DIGITS: Final = (
    ("([0-9])", "0.00$1"),
    ("([0-9]{2})", "0.0$1"),
    ("([0-9]{3})", "0.$1"),
    ("([0-9]+)([0-9]{3})", "$1.$2"),
)
"""Patterns of whole milliseconds, and the same time in seconds. A result has a point, so that no pattern meets it."""


def service_graph(config: MonitoringConfig) -> RuleGroup:
    """Return the series of the service graph; none without Tempo's datasource, which alone has the tab."""
    rules = (
        RecordingRule(name=metrics.SERVICE_GRAPH_REQUESTS, query=_edges(config, metrics.SPAN_CALLS)),
        RecordingRule(name=metrics.SERVICE_GRAPH_FAILED, query=_edges(config, metrics.SPAN_CALLS, *FAILED)),
        RecordingRule(
            name=f"{metrics.SERVICE_GRAPH_DURATION}_bucket",
            query=_in_seconds(_edges(config, f"{metrics.SPAN_DURATION}_bucket")),
        ),
        RecordingRule(
            name=f"{metrics.SERVICE_GRAPH_DURATION}_sum",
            query=f"({_edges(config, f'{metrics.SPAN_DURATION}_sum')}) / 1000",
        ),
        RecordingRule(
            name=f"{metrics.SERVICE_GRAPH_DURATION}_count", query=_edges(config, f"{metrics.SPAN_DURATION}_count")
        ),
        RecordingRule(name=metrics.REQUEST_SPAN_CALLS, query=_requests(metrics.SPAN_CALLS)),
        RecordingRule(
            name=f"{metrics.REQUEST_SPAN_DURATION}_bucket",
            query=_in_seconds(_requests(f"{metrics.SPAN_DURATION}_bucket")),
        ),
    )
    return RuleGroup(name="service graph", rules=rules if config.traces and config.trace_backend == "tempo" else ())


def _requests(metric: str) -> str:
    """Return the query of the series of server spans, which alone are in the table, with the label `service`."""
    return f'label_replace({series(metric, SERVER_SPAN)}, "service", "$1", "{SERVICE}", "(.*)")'


def _edges(config: MonitoringConfig, metric: str, *matchers: str) -> str:
    """Return the query of a metric's series with the labels `client`, `server` and `connection_type`."""
    return " or ".join(_labelled(of, series(metric, *of.matchers, *matchers)) for of in edges(config))


def _labelled(of: Edges, query: str) -> str:
    labelled = of.label(query, "client", "server")
    if not of.connection_type:
        return labelled
    return f'label_replace({labelled}, "connection_type", "{of.connection_type}", "", "")'


def _in_seconds(query: str) -> str:
    """Return the query of buckets in milliseconds with their limits in seconds."""
    for pattern, seconds in _DIGITS:
        query = f'label_replace({query}, "le", "{seconds}", "le", "{pattern}(?:[.]0)?")'
    return query
