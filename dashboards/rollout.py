"""The dashboard *Rollout*: is the new version as good as the old one?"""

from typing import Final

from contracts import metrics, service_metrics
from contracts.metrics import JOB, SERVICE, TRACK
from contracts.services import GATEWAY
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Panel, Query, Thresholds, about_dots, per_second, stat, timeseries
from dashboards.queries import (
    FAILED_REQUESTS,
    MEMORY,
    RATE_INTERVAL,
    REQUEST_DURATION,
    REQUESTS,
    SERVER_SPAN,
    SERVICE_JOBS,
    TRACES,
    USER_ROUTES,
    equals,
    quantile,
    rate,
    ratio,
    series,
)

_VERSION: Final = (JOB, TRACK)
_LEGEND: Final = "{{job}} {{track}}"


def pods_up(_: MonitoringConfig) -> Panel:
    """Pods that are up, by track."""
    return stat(
        "Pods up, by track",
        "Pods that answer Prometheus: `canary` is the new version; `stable` and `baseline` are the old one. A rollout"
        " starts `baseline` pods together with the canary, and compares these two.",
        Query(expr=f"sum by ({TRACK}) ({series(metrics.UP, SERVICE_JOBS)})", legend="{{track}}"),
        unit="short",
        width=6,
    )


def traced_requests(_: MonitoringConfig) -> Panel:
    """Share of the gateway's requests that have a span."""
    spans = series(metrics.SPAN_CALLS, equals(SERVICE, GATEWAY), SERVER_SPAN)
    requests = series(service_metrics.HTTP_REQUESTS, equals(JOB, GATEWAY), USER_ROUTES)
    return stat(
        "Traced requests",
        "Server spans of the gateway per request that it counted.",
        f"clamp_max({rate(spans, '5m')} / ({rate(requests, '5m')} > 0), 1)",
        unit="percentunit",
        thresholds=Thresholds(0.99, 0.95, rising=False),
        decimals=1,
        width=6,
    )


def sampled_out(_: MonitoringConfig) -> Panel:
    """Share of the spans that the services sample out."""
    return stat(
        "Spans sampled out",
        "Share of the started spans that the services sampled out.",
        ratio(metrics.SPANS_SAMPLED_OUT, metrics.SPANS_STARTED, "5m"),
        unit="percentunit",
        width=6,
    )


def error_ratio(config: MonitoringConfig) -> Panel:
    """Share of the requests that failed, by track."""
    limit = config.objectives.error_ratio
    return stat(
        "Error ratio, by track",
        "Share of the requests of the last 5 minutes that failed.",
        Query(expr=ratio(FAILED_REQUESTS, REQUESTS, "5m", TRACK), legend="{{track}}"),
        unit="percentunit",
        thresholds=Thresholds(limit / 4, limit),
        width=6,
    )


def request_rate(_: MonitoringConfig) -> Panel:
    """Requests per second of both versions."""
    return timeseries(
        "Request rate",
        "Requests per second.",
        [Query(expr=rate(REQUESTS, RATE_INTERVAL, *_VERSION), legend=_LEGEND)],
        unit=per_second("requests"),
    )


def error_ratio_by_service(config: MonitoringConfig) -> Panel:
    """Error ratio of both versions of each service."""
    return timeseries(
        "Error ratio",
        "Share of the requests that failed.",
        [Query(expr=ratio(FAILED_REQUESTS, REQUESTS, RATE_INTERVAL, *_VERSION), legend=_LEGEND)],
        unit="percentunit",
        thresholds=Thresholds(None, config.objectives.error_ratio),
    )


def p99(config: MonitoringConfig) -> Panel:
    """99th percentile of the requests' duration, of both versions."""
    return timeseries(
        "p99 duration",
        f"99 % of the requests are answered within this time. {about_dots(config)}",
        [Query(expr=quantile(0.99, REQUEST_DURATION, RATE_INTERVAL, *_VERSION), legend=_LEGEND, exemplars=True)],
        unit="s",
        thresholds=Thresholds(None, config.objectives.request_ms / 1000),
    )


def memory(_: MonitoringConfig) -> Panel:
    """Memory of both versions."""
    return timeseries(
        "Memory",
        "Resident memory of the pod that uses the most.",
        [Query(expr=MEMORY, legend=_LEGEND)],
        unit="bytes",
    )


def cpu(_: MonitoringConfig) -> Panel:
    """CPU of both versions."""
    used = f"rate({series(metrics.PROCESS_CPU, SERVICE_JOBS)}[{RATE_INTERVAL}])"
    return timeseries(
        "CPU",
        "Cores that a pod uses on average.",
        [Query(expr=f"avg by ({', '.join(_VERSION)}) ({used})", legend=_LEGEND)],
        unit="count:cores",
    )


def failed_exports(_: MonitoringConfig) -> Panel:
    """Share of the export requests that failed, of both versions."""
    failed = series(metrics.EXPORT_REQUESTS, TRACES, 'code!="ok"')
    requests = series(metrics.EXPORT_REQUESTS, TRACES)
    return timeseries(
        "Failed exports",
        "Share of the requests that export spans.",
        [Query(expr=ratio(failed, requests, RATE_INTERVAL, *_VERSION), legend=_LEGEND)],
        unit="percentunit",
        thresholds=Thresholds(None, 0.01),
    )


DASHBOARD: Final = Dashboard(
    uid="rollout",
    title="Rollout",
    only_of_services=True,
    question="Is the new version as good as the old one? Compares the canary with the baseline, and shows how many"
    " requests are traced.",
    rows=(
        Row("Now", (pods_up, traced_requests, sampled_out, error_ratio)),
        Row("Canary and baseline", (request_rate, error_ratio_by_service, p99, memory, cpu, failed_exports)),
    ),
)
