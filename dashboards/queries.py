"""PromQL that rules and dashboards share: the same number is never asked for in two ways."""

from typing import Final

from stack import endpoints

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
    """By how much a counter has grown, also where it did not exist at the window's start: `rate` misses its first 1."""
    now = f"sum by ({by}) ({series})"
    before = f"sum by ({by}) ({series} offset {window})"
    return f"((({now}) - ({before})) or ({now}))"
