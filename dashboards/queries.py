"""PromQL that dashboards, rules and the rollout's analysis share: one query for one question."""

from collections.abc import Iterable, Sequence
from typing import Final

from contracts import endpoints, http, metrics, service_metrics
from contracts.metrics import (
    DB_SYSTEM,
    JOB,
    OUTCOME,
    ROUTE,
    SIGNAL,
    SPAN_KIND,
    STATUS,
    STATUS_CODE,
    TOPIC,
    TRACK,
)
from contracts.services import SERVICES
from contracts.topics import DEAD_LETTER_SUFFIX

RATE_INTERVAL: Final = "$__rate_interval"
"""Grafana's window for `rate`: at least four scrapes long, so that there is always a result."""
RANGE: Final = "$__range"
"""Grafana's name of the length of a page's time range."""


def equals(label: str, value: object) -> str:
    """Return a label matcher."""
    return f'{label}="{value}"'


# Label matchers.
SERVICE_JOBS: Final = f'{JOB}=~"{"|".join(SERVICES)}"'
COLLECTOR_JOBS: Final = f'{JOB}=~"{endpoints.COLLECTOR}|{endpoints.SAMPLER}"'
USER_ROUTES: Final = f'{ROUTE}!~"{http.HEALTH}.*|{http.METRICS}"'
"""Requests to routes of users, without health checks and scrapes: these are neither traffic nor success."""
OF_USERS: Final = equals(service_metrics.SYNTHETIC, "")
"""Requests and tasks of users, without those of the probe and of smoke checks."""
SERVER_ERROR: Final = f'{STATUS}=~"5.."'
SERVER_SPAN: Final = equals(SPAN_KIND, "SPAN_KIND_SERVER")
CLIENT_SPAN: Final = equals(SPAN_KIND, "SPAN_KIND_CLIENT")
PRODUCER_SPAN: Final = equals(SPAN_KIND, "SPAN_KIND_PRODUCER")
CONSUMER_SPAN: Final = equals(SPAN_KIND, "SPAN_KIND_CONSUMER")
ENTRY_SPAN: Final = f'{SPAN_KIND}=~"SPAN_KIND_(SERVER|CONSUMER)"'
"""Spans with which a request or a message enters a service."""
FAILED_SPAN: Final = equals(STATUS_CODE, "STATUS_CODE_ERROR")
SUCCESSFUL_SPAN: Final = f'{STATUS_CODE}!="STATUS_CODE_ERROR"'
STATEMENT_SPAN: Final = f'{CLIENT_SPAN},{DB_SYSTEM}!=""'
"""Spans of database statements."""
NOT_DEAD_LETTER: Final = f'{TOPIC}!~".*{DEAD_LETTER_SUFFIX.replace(".", "[.]")}"'
TRACES: Final = equals(SIGNAL, "traces")
OTLP_TRACES: Final = equals("data_type", "traces")
"""The Collector's own label for the same."""


def series(metric: str, *matchers: str) -> str:
    """Return the selector of a metric's series that meet all matchers."""
    return f"{metric}{{{','.join(matchers)}}}" if matchers else metric


def series_of(names: Iterable[str], *matchers: str) -> str:
    """Return the selector of the series of several metrics."""
    return series("", f'__name__=~"{"|".join(names)}"', *matchers)


def buckets(histogram: str, *matchers: str) -> str:
    """Return the selector of a histogram's buckets."""
    return series(f"{histogram}_bucket", *matchers)


# Requests of users to the services.
REQUESTS: Final = series(service_metrics.HTTP_REQUESTS, SERVICE_JOBS, USER_ROUTES)
FAILED_REQUESTS: Final = series(service_metrics.HTTP_REQUESTS, SERVICE_JOBS, USER_ROUTES, SERVER_ERROR)
REQUEST_DURATION: Final = buckets(service_metrics.HTTP_DURATION, SERVICE_JOBS, USER_ROUTES)

# Messages that consumers handle. A page that cannot be fetched is a normal message; if the stack failed to fetch it, it
# is the crawler's failure.
MESSAGES: Final = series(service_metrics.MESSAGES_CONSUMED, SERVICE_JOBS, NOT_DEAD_LETTER)
UNHANDLED_MESSAGES: Final = " or ".join(
    (
        series(service_metrics.MESSAGES_CONSUMED, SERVICE_JOBS, NOT_DEAD_LETTER, f'{OUTCOME}=~"dead_letter|retried"'),
        series(service_metrics.CRAWLED_PAGES, equals(OUTCOME, service_metrics.OUTCOME_FAILED)),
    )
)
CRAWLS: Final = series(service_metrics.CRAWLED_PAGES)
FOREIGN_FAILURES: Final = series(service_metrics.CRAWLED_PAGES, equals(OUTCOME, "error"))
"""Pages that a foreign site does not serve."""
MESSAGE_DURATION: Final = buckets(service_metrics.MESSAGE_PROCESSING, SERVICE_JOBS, NOT_DEAD_LETTER)

MEMORY: Final = f"max by ({JOB}, {TRACK}) ({series(metrics.PROCESS_MEMORY, SERVICE_JOBS)})"
"""Resident memory, in bytes, of the pod of each service and track that uses the most."""

# What happens to the spans that end in a service: they are exported, given up, or wait.
GIVEN_UP: Final = (metrics.SPANS_DROPPED, metrics.SPANS_REFUSED)
WAITING: Final = (metrics.SPANS_QUEUED, metrics.SPANS_BUFFERED, metrics.SPANS_IN_FLIGHT)
SPAN_ACCOUNT: Final = (metrics.SPANS_ENDED, metrics.SPANS_EXPORTED, *GIVEN_UP, *WAITING)
GIVEN_UP_SPANS: Final = series_of(GIVEN_UP, TRACES)
WAITING_SPANS: Final = series_of(WAITING, TRACES)


def rate(selector: str, window: str, *by: str) -> str:
    """Return the sum of the counters' rates per second, for each set of the labels `by`."""
    return f"sum{f' by ({_list(by)})' if by else ''} (rate({selector}[{window}]))"


def ratio(part: str, whole: str, window: str, *by: str) -> str:
    """Return the ratio of two counters' rates, 0 to 1.

    The ratio is 0 if the part has never been counted, and has no value without traffic.
    """
    denominator = rate(whole, window, *by)
    return f"(({rate(part, window, *by)}) or 0 * {denominator}) / ({denominator} > 0)"


def quantile(q: float, selector: str, window: str, *by: str) -> str:
    """Return a quantile of a histogram's buckets, in the histogram's unit."""
    return f"histogram_quantile({q}, {rate(selector, window, 'le', *by)})"


def counted(selector: str, *by: str) -> str:
    """Return the sum of gauges for each set of the labels `by`: 0 if all of them ended within the time range.

    A service that is stopped has no series any more, which a panel would show as nothing.
    """
    labels = _list(by)
    return f"sum by ({labels}) ({selector}) or 0 * sum by ({labels}) (last_over_time({selector}[{RANGE}]))"


def mean(histogram: str, window: str, *matchers: str) -> str:
    """Return the mean of a histogram's observations."""
    total, count = series(f"{histogram}_sum", *matchers), series(f"{histogram}_count", *matchers)
    return f"{rate(total, window)} / {rate(count, window)}"


_MANY: Final = 8
"""A normal night has that many slow events within minutes only if something is wrong."""


def slow(duration: str, events: str, window: str, limit: float, quantiles: Sequence[float], *by: str) -> str:
    """Return the condition that one of several quantiles of a duration is above a limit, each of many slow events.

    With few events, a single slow one is their highest quantile.

    Args:
        duration: selector of the histogram's buckets.
        events: selector of the counter of all events.
        window: of the events.
        limit: in the histogram's unit.
        quantiles: for example 0.95, with which at least eight slow events are one in twenty.
        by: labels.
    """
    return " or ".join(
        f"{quantile(q, duration, window, *by)} > {limit}"
        f" and on ({_list(by)}) {exact_increase(events, window, *by)} >= {_MANY / (1 - q):g}"
        for q in quantiles
    )


def above(value: str, start: float, end: float, alert: str, *by: str) -> str:
    """Return the condition of an alert that starts above one threshold and ends below a lower one.

    Args:
        value: query of the value.
        start: the alert becomes pending above it.
        end: while the alert fires, it goes on above this threshold.
        alert: name of the alert.
        by: labels of the value, which the alert has too.
    """
    firing = series(metrics.ALERTS, equals("alertname", alert), equals("alertstate", "firing"))
    return f"({value} > {start:g} or {value} > {end:g} and on ({_list(by)}) {firing})"


def exact_increase(selector: str, window: str, *by: str) -> str:
    """Return how much counters grew within a window, summed, with the pods that ended within it."""
    return f"sum by ({_list(by)}) ({exact_increases(selector, window)})"


def exact_increases(selector: str, window: str) -> str:
    """Return how much each counter grew within a window: the exact number, unless its process restarted.

    `increase` misses the first value of a new series, and counters here begin with their first event. `x - x offset w`
    has that value, and is negative after a restart. So this is the last value minus the one before the window; or the
    last value alone, if the counter has no value before the window or a larger one. `increase` is used only if the
    counter was reset within the window. All of it comes before the sum, since a sum hides which of its counters fell.

    A series that its target did not have at the window's start is new. If Prometheus could not scrape the target then,
    the value of the hour before counts: a gap in the scrapes is no event.
    """
    first, last = f"min_over_time({selector}[{window}])", f"last_over_time({selector}[{window}])"
    hour_before = f"last_over_time({selector}[1h] offset {window})"
    previous = f"({selector} offset {window} or {hour_before} unless on (job, instance) up offset {window} == 1)"
    return (
        f"(({last} - ({previous} <= {first})) or {last}) and resets({selector}[{window}]) == 0"
        f" or increase({selector}[{window}])"
    )


def _list(labels: Iterable[str]) -> str:
    return ", ".join(labels)
