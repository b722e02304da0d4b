"""Alerts on services that are the users' own: only their spans are known, and the metrics made of them."""

from typing import Final

from contracts import metrics
from contracts.metrics import SERVICE, SPAN_NAME
from dashboards.config import MonitoringConfig
from dashboards.queries import ENTRY_SPAN, buckets, rate, series, slow
from dashboards.rules.model import AlertRule

_ENTRIES: Final = series(metrics.SPAN_CALLS, ENTRY_SPAN)


def alerts(config: MonitoringConfig) -> tuple[AlertRule, ...]:
    """Return the alerts on slow and on missing requests and messages."""
    return (_service_slow(config), _service_quiet())


def _service_slow(config: MonitoringConfig) -> AlertRule:
    operation = (SERVICE, SPAN_NAME)
    duration = buckets(metrics.SPAN_DURATION, ENTRY_SPAN)
    limit = config.objectives.request_ms
    return AlertRule(
        name="ServiceSlow",
        query=slow(duration, _ENTRIES, "2m", limit, (0.99, 0.85), *operation),
        for_="30s",
        # A percentile around the objective crosses it at each wave of the traffic.
        keep_firing_for="2m",
        severity="page",
        summary="Requests to {{ $labels.service_name }} {{ $labels.span_name }} are slow",
        description="The slowest requests of the last 2 minutes take more than {{ $value | humanize }} ms.",
        dashboard="services",
    )


def _service_quiet() -> AlertRule:
    last_hour = rate(_ENTRIES, "1h", SERVICE)
    return AlertRule(
        name="ServiceQuiet",
        query=f"({rate(_ENTRIES, '5m', SERVICE)} or 0 * {last_hour}) < 0.1 * {last_hour} and {last_hour} > 0.2",
        for_="5m",
        severity="ticket",
        summary="{{ $labels.service_name }} gets hardly any requests and messages",
        description="{{ $value | humanize }} per second, less than a tenth of the last hour's rate.",
        dashboard="services",
    )
