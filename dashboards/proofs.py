"""The panels of the permanent probe, a row of the dashboard *Tracing pipeline*."""

from typing import Final

from contracts import metrics
from contracts.metrics import RESULT, STEP
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Row
from dashboards.panels import Panel, Query, Thresholds, stat, timeseries
from dashboards.queries import buckets, equals, exact_increases, quantile, ratio, series

_WINDOW: Final = "5m"
"""Holds several proofs, so that each time has a value."""
_SERVED: Final = series(metrics.PROBE_PROOFS, f'{RESULT}=~"complete|incomplete"')
_COMPLETE: Final = series(metrics.PROBE_PROOFS, equals(RESULT, "complete"))
_NOT_SERVED: Final = series(metrics.PROBE_PROOFS, equals(RESULT, "no_task"))


def failed_requests(config: MonitoringConfig) -> Panel | None:
    """Requests of the probe that were not served."""
    if config.probe_seconds is None:
        return None
    return stat(
        "Failed probe requests",
        "Of the last 15 minutes: the gateway did not accept the request, or its task was not completed in time. The"
        " probe sends one as a user does, also while no user sends any.",
        f"sum({exact_increases(_NOT_SERVED, '15m')})",
        unit="short",
        thresholds=Thresholds(1, 3),
        width=5,
        height=3,
    )


def complete_proofs(config: MonitoringConfig) -> Panel | None:
    """Share of the probe's requests whose telemetry was complete."""
    if config.probe_seconds is None:
        return None
    return stat(
        "Complete telemetry",
        "Share of the probe's requests of the last 15 minutes whose trace, search result, log lines, span metrics and"
        f" exemplar were all found within {config.objectives.visible_seconds} s. Requests that served no user do not"
        " count.",
        ratio(_COMPLETE, _SERVED, "15m"),
        unit="percentunit",
        thresholds=Thresholds(0.999, 0.9, rising=False),
        width=6,
        height=8,
        decimals=0,
    )


def visible_time(config: MonitoringConfig) -> Panel | None:
    """Time until the telemetry is visible."""
    if config.probe_seconds is None:
        return None
    query = quantile(0.95, buckets(metrics.PROBE_VISIBLE), _WINDOW, STEP)
    return timeseries(
        "Time until telemetry is visible",
        "95th percentile, by step, from the completion of the probe's task. Each dot opens the trace of a proof.",
        [Query(expr=query, legend="{{step}}", exemplars=True)],
        unit="s",
        thresholds=Thresholds(None, config.objectives.visible_seconds),
        width=9,
    )


def failed_steps(config: MonitoringConfig) -> Panel | None:
    """Steps of proofs that failed."""
    if config.probe_seconds is None:
        return None
    failed = series(metrics.PROBE_STEPS, equals(RESULT, "failed"))
    return timeseries(
        "Failed steps of the proof",
        "Failures within 5 minutes. After `request` or `task`, which are those of a user, nothing else is looked for.",
        [Query(expr=f"sum by ({STEP}) (increase({failed}[{_WINDOW}]))", legend="{{step}}")],
        unit="short",
        thresholds=Thresholds(None, 2),
        width=9,
    )


ROW: Final = Row("Proof of one request a minute", (complete_proofs, visible_time, failed_steps))
