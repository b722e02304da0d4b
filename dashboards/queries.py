"""PromQL that rules and dashboards share: the same number is never asked for in two ways."""

from typing import Final

from contracts import endpoints
from stack.settings import Settings

CONSUMERS: Final = (endpoints.TASK_MANAGER, endpoints.CRAWLER)

OF_SERVICES: Final = f'job=~"{"|".join(endpoints.SERVICES)}"'
# What people ask for; probes and scrapes are neither traffic nor success.
ASKED: Final = 'route!~"/api/(health.*|metrics)"'
ENTRY: Final = 'span_kind=~"SPAN_KIND_(SERVER|CONSUMER)"'
FAILED: Final = 'status_code="STATUS_CODE_ERROR"'
STATEMENT: Final = 'span_kind="SPAN_KIND_CLIENT",db_system_name!=""'
MESSAGES: Final = 'topic!~".*[.]dead-letter"'

CALLS: Final = "traces_span_metrics_calls_total"
DURATION_MS: Final = "traces_span_metrics_duration_milliseconds_bucket"

STORED_MS: Final = "traces_stored_duration_milliseconds_bucket"


def stored_spans(settings: Settings) -> str:
    """The histogram whose exemplars lead to stored traces: that of all spans, or of those that the samplers keep."""
    return STORED_MS if settings.collector.sampling else DURATION_MS


def rate(selector: str, window: str, by: str = "") -> str:
    """Sum of the rates a second, by labels if any are named."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({selector}[{window}]))"


def share(part: str, whole: str, window: str, by: str = "") -> str:
    """How much of one counter another is, 0 to 1; 0 where the part has never been counted, nothing without traffic."""
    of = rate(whole, window, by)
    return f"(({rate(part, window, by)}) or 0 * {of}) / ({of} > 0)"


def quantile(q: float, buckets: str, window: str, by: str = "") -> str:
    """A quantile of a histogram, in its unit."""
    return f"histogram_quantile({q}, {rate(buckets, window, f'le, {by}' if by else 'le')})"


def grown(series: str, window: str, by: str) -> str:
    """How much counters counted within a window, those of pods that ended within it included; see `each_grown`."""
    return f"sum by ({by}) ({each_grown(series, window)})"


def each_grown(series: str, window: str) -> str:
    """How much each series of a counter counted within a window: the exact number, unless its process restarted.

    `increase` misses the first value of a new series, and counters here begin with their first event. `x - x offset w`
    has that value, and is negative after a restart. So this is the last value minus the one before the window, or the
    last value alone where there was none before or a larger one; `increase` only where the counter fell within the
    window. Before the sum, since a sum does not show which of its counters fell.

    A series that its target no longer had at the window's start is new. Where the target itself could not be scraped
    then, the value of the hour before counts: a gap in the scrapes is no event.
    """
    first, last = f"min_over_time({series}[{window}])", f"last_over_time({series}[{window}])"
    seen = f"last_over_time({series}[1h] offset {window})"
    before = f"({series} offset {window} or {seen} unless on (job, instance) up offset {window} == 1)"
    return (
        f"(({last} - ({before} <= {first})) or {last}) and resets({series}[{window}]) == 0"
        f" or increase({series}[{window}])"
    )
