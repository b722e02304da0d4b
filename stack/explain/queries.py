"""The PromQL that `wct explain` runs, in addition to the first query of the runbook."""

from collections.abc import Sequence
from typing import Final

from contracts import metrics
from contracts.metrics import DB_SYSTEM, SERVICE, SPAN_KIND, SPAN_NAME
from dashboards.queries import equals, quantile, rate, series
from dashboards.rules.dependencies import FAILED

WINDOW_SECONDS: Final = 300.0
"""Of the searched traces; short, so that a fault that was undone before is not taken for the present one."""
SLOW_MS: Final = 500.0
_MINUTE: Final = "1m"
_OPERATION: Final = (SERVICE, SPAN_NAME, SPAN_KIND, DB_SYSTEM)
_FAILED_CALLS: Final = series(metrics.SPAN_CALLS, *FAILED)
_DURATIONS: Final = series(f"{metrics.SPAN_DURATION}_bucket")


def _previously(selector: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({selector}[5m] offset {_MINUTE}))"


FAILING_NOW: Final = f"{rate(_FAILED_CALLS, _MINUTE, *_OPERATION)} > 0"
"""Failed calls per second of each operation in the last minute; without the responses 4xx."""
FAILING_PREVIOUSLY: Final = f"{_previously(_FAILED_CALLS, *_OPERATION)} > 0"
"""The same in the five minutes before."""

DOWN_TARGETS: Final = f"{metrics.UP} == 0"
"""The targets that Prometheus cannot scrape."""

_SPANS: Final = f"sum by ({', '.join(_OPERATION)}) (increase({metrics.SPAN_CALLS}[{_MINUTE}]))"
SLOW_NOW: Final = f"{quantile(0.95, _DURATIONS, _MINUTE, *_OPERATION)} > {SLOW_MS:g} and {_SPANS} >= 2"
"""The 95th percentile in ms of the slow operations in the last minute; a single slow span makes no operation slow."""
SLOW_PREVIOUSLY: Final = f"histogram_quantile(0.95, {_previously(_DURATIONS, 'le', *_OPERATION)})"
"""The same of all operations in the five minutes before."""


def failed_spans(service: str) -> str:
    """Return the selector whose exemplars are failed spans of a service."""
    return series(f"{metrics.SPAN_DURATION}_bucket", *FAILED, equals(SERVICE, service))


def last_fired(alert: str) -> str:
    """Return the PromQL for the time at which an alert fired last within a day, in s since the epoch."""
    firing = series(metrics.ALERTS, equals("alertname", alert), equals("alertstate", "firing"))
    return f"max(max_over_time(timestamp({firing})[24h:1m]))"


def all_queries(services: Sequence[str]) -> list[str]:
    """Return every query, so that the telemetry contract is checked with them."""
    operations = (FAILING_NOW, FAILING_PREVIOUSLY, SLOW_NOW, SLOW_PREVIOUSLY)
    return [*operations, DOWN_TARGETS, *map(failed_spans, services), last_fired("Watchdog")]
