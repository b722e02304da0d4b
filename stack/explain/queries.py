"""The PromQL that `wct explain` runs, in addition to the first query of the runbook."""

from collections.abc import Sequence
from typing import Final

from contracts import metrics
from contracts.metrics import SERVICE, SPAN_KIND, SPAN_NAME
from dashboards.queries import equals, quantile, series
from dashboards.rules.dependencies import FAILED

WINDOW: Final = "5m"
"""Short, so that a fault that was undone before is not taken for the present one."""
WINDOW_SECONDS: Final = 300.0

FAILED_OPERATIONS: Final = (
    f"topk(5, sum by ({SERVICE}, {SPAN_NAME}, {SPAN_KIND})"
    f" (increase({series(metrics.SPAN_CALLS, *FAILED)}[{WINDOW}])) > 0)"
)
"""The operations that failed most often, with the number of failures; without the responses 4xx."""


DOWN_TARGETS: Final = f"{metrics.UP} == 0"
"""The targets that Prometheus cannot scrape."""

_P95: Final = quantile(0.95, series(f"{metrics.SPAN_DURATION}_bucket"), WINDOW, SERVICE, SPAN_NAME, SPAN_KIND)
_SPANS: Final = f"sum by ({SERVICE}, {SPAN_NAME}, {SPAN_KIND}) (increase({metrics.SPAN_CALLS}[{WINDOW}]))"
SLOW_OPERATIONS: Final = f"topk(5, {_P95} > 500 and {_SPANS} >= 3)"
"""The 95th percentile in ms of the slowest operations; a single slow span makes no operation slow."""


def failed_spans(service: str) -> str:
    """Return the selector whose exemplars are failed spans of a service."""
    return series(f"{metrics.SPAN_DURATION}_bucket", *FAILED, equals(SERVICE, service))


def last_fired(alert: str) -> str:
    """Return the PromQL for the time at which an alert fired last within a day, in s since the epoch."""
    firing = series(metrics.ALERTS, equals("alertname", alert), equals("alertstate", "firing"))
    return f"max(max_over_time(timestamp({firing})[24h:1m]))"


def all_queries(services: Sequence[str]) -> list[str]:
    """Return every query, so that the telemetry contract is checked with them."""
    return [FAILED_OPERATIONS, DOWN_TARGETS, SLOW_OPERATIONS, *map(failed_spans, services), last_fired("Watchdog")]
