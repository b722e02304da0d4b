"""The edges of the service map, made of span metrics: who calls whom, how often, and how many calls fail.

The metrics are not those of the trace store's own generator, so that the map is the same with every store and with
sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts import http, metrics
from contracts.metrics import DB_SYSTEM, HTTP_STATUS, SERVICE, SPAN_NAME
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from dashboards.config import MonitoringConfig
from dashboards.queries import (
    CLIENT_SPAN,
    CONSUMER_SPAN,
    FAILED_SPAN,
    PRODUCER_SPAN,
    SERVER_SPAN,
    STATEMENT_SPAN,
    above,
    buckets,
    equals,
    quantile,
    rate,
    series,
)
from dashboards.rules.model import AlertRule, RecordingRule, RuleGroup

RATE: Final = "dependency_calls:rate1m"
"""Calls per second; labels `source` and `target`, each a service, a topic, a database, `users` or `web-pages`."""
FAILED_CALLS: Final = "dependency_failed:rate1m"
P95: Final = "dependency_duration_ms:p95"
MAX_ERROR_RATIO: Final = 0.05
"""Share of failed calls from which an alert fires."""

WEB_PAGES: Final = "web-pages"
"""The target of the crawler's calls. Grafana draws no arrow to or from a name with a space."""

# A response 4xx is the caller's mistake; the dependency works.
FAILED: Final = (FAILED_SPAN, f'{HTTP_STATUS}!~"4.."')
_SPAN_LABELS: Final = (SERVICE, SPAN_NAME, DB_SYSTEM)
_EDGE: Final = "source, target"


@dataclass(frozen=True)
class _End:
    """A label of an edge: the group of a pattern in a label of the spans, or a fixed name."""

    replacement: str
    label: str = ""
    pattern: str = ""


@dataclass(frozen=True)
class Edges:
    """The spans of one kind of calls, and the two ends of each."""

    matchers: tuple[str, ...]
    source: _End
    target: _End
    connection_type: str = ""
    """As Tempo's own service graph has it; empty if the target is a service."""

    def label(self, query: str, source: str = "source", target: str = "target") -> str:
        """Return the query with the labels of the two ends, which have these names."""
        for name, end in ((source, self.source), (target, self.target)):
            query = f'label_replace({query}, "{name}", "{end.replacement}", "{end.label}", "{end.pattern}")'
        return query


_SERVICE: Final = _End("$1", SERVICE, "(.*)")


def _http_client(service: str, target: str, connection_type: str = "") -> Edges:
    # The target is known here; a span's own address would be any page of the web.
    matchers = (CLIENT_SPAN, equals(DB_SYSTEM, ""), equals(SERVICE, service))
    return Edges(matchers, _SERVICE, _End(target), connection_type)


_OF_STACK: Final = (
    # Without the page that the stack serves to its own crawler: that is no request of a user.
    Edges((equals(SERVICE, GATEWAY), SERVER_SPAN, f'{SPAN_NAME}!="GET {http.DEMO}"'), _End("users"), _SERVICE),
    _http_client(GATEWAY, TASK_MANAGER),
    _http_client(CRAWLER, WEB_PAGES, "virtual_node"),
)
_OF_ALL_SERVICES: Final = (
    Edges((PRODUCER_SPAN,), _SERVICE, _End("$1", SPAN_NAME, "send (.*)"), "messaging_system"),
    Edges((CONSUMER_SPAN,), _End("$1", SPAN_NAME, "process (.*)"), _SERVICE, "messaging_system"),
    Edges((STATEMENT_SPAN,), _SERVICE, _End("$1", DB_SYSTEM, "(.*)"), "database"),
)


def edges(config: MonitoringConfig) -> tuple[Edges, ...]:
    """Return the edges of a stack. Of calls between the users' own services, the target's name is not known."""
    return (*(_OF_STACK if config.services else ()), *_OF_ALL_SERVICES)


def dependencies(config: MonitoringConfig) -> RuleGroup:
    """Return the edges as recording rules, and the alert on edges that fail."""
    ends = edges(config)
    return RuleGroup(
        name="dependencies",
        rules=(
            RecordingRule(name=RATE, query=f"sum by ({_EDGE}) ({_calls(ends)})"),
            RecordingRule(name=FAILED_CALLS, query=f"sum by ({_EDGE}) ({_calls(ends, *FAILED)}) or 0 * {RATE}"),
            RecordingRule(name=P95, query=f"max by ({_EDGE}) ({_p95(ends)})"),
            _dependency_fails(),
        ),
    )


def _calls(ends: Sequence[Edges], *matchers: str) -> str:
    return " or ".join(
        of.label(rate(series(metrics.SPAN_CALLS, *of.matchers, *matchers), "1m", *_SPAN_LABELS)) for of in ends
    )


def _p95(ends: Sequence[Edges]) -> str:
    return " or ".join(
        of.label(quantile(0.95, buckets(metrics.SPAN_DURATION, *of.matchers), "1m", *_SPAN_LABELS)) for of in ends
    )


def _dependency_fails() -> AlertRule:
    # The web is not operated here: CrawlsFail, WebUnreachable and PagesFail judge the pages.
    operated = f'target!="{WEB_PAGES}"'
    calls, failed = series(RATE, operated), series(FAILED_CALLS, operated)
    ratio = above(
        f"{failed} / ({calls} > 0)", MAX_ERROR_RATIO, 0.6 * MAX_ERROR_RATIO, "DependencyFails", "source", "target"
    )
    return AlertRule(
        name="DependencyFails",
        # At least three failures within the minute: a single one says nothing about a dependency.
        query=f"{ratio} and {failed} > 0.05",
        for_="15s",
        # An edge with little traffic has seconds without a call.
        keep_firing_for="1m",
        severity="page",
        summary="Calls {{ $labels.source }} → {{ $labels.target }} fail",
        description="{{ $value | humanizePercentage }} of the calls of the last minute.",
        dashboard="dependencies",
        service="{{ $labels.target }}",
    )
