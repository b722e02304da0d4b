"""Is the new version as good as the old one?"""

from contracts import endpoints
from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Query, Thresholds, stat, timeseries
from dashboards.queries import ASKED, CALLS, OF_SERVICES, quantile, rate, share
from stack.settings import Settings

_WINDOW = "$__rate_interval"
_TRACK = "{{job}} {{track}}"


def rollout(settings: Settings) -> Dashboard:
    """Baseline and canary side by side, and how much of what happens is traced."""
    goals = settings.objectives
    requests = f"http_server_requests_total{{{OF_SERVICES},{ASKED}}}"
    failed = f'http_server_requests_total{{{OF_SERVICES},{ASKED},status=~"5.."}}'
    gateway = f'http_server_requests_total{{job="{endpoints.GATEWAY}",{ASKED}}}'
    spans = f'{CALLS}{{service_name="{endpoints.GATEWAY}",span_kind="SPAN_KIND_SERVER"}}'
    by = "job, track"
    return Dashboard(
        uid="rollout",
        title="Rollout",
        question="Is the new version as good as the old one? Baseline against canary, and what of it is traced.",
        rows=(
            Row(
                title="Now",
                panels=(
                    stat(
                        "Pods, by track",
                        "That answer.",
                        Query(expr=f"sum by (track) (up{{{OF_SERVICES}}})", legend="{{track}}"),
                        unit="short",
                        width=6,
                    ),
                    stat(
                        "Requests that are traced",
                        "Spans of the gateway's requests for each request that it counted.",
                        f"clamp_max({rate(spans, '5m')} / ({rate(gateway, '5m')} > 0), 1)",
                        unit="percentunit",
                        thresholds=Thresholds(0.99, 0.95, rising=False),
                        decimals=1,
                        width=6,
                    ),
                    stat(
                        "Spans sampled out by the services",
                        "Share of those that were started.",
                        share("tracing_spans_sampled_out_total", "tracing_spans_started_total", "5m"),
                        unit="percentunit",
                        width=6,
                    ),
                    stat(
                        "Failed",
                        "Share of the requests, by track.",
                        Query(expr=share(failed, requests, _WINDOW, "track"), legend="{{track}}"),
                        unit="percentunit",
                        thresholds=Thresholds(goals.error_ratio / 4, goals.error_ratio),
                        width=6,
                    ),
                ),
            ),
            Row(
                title="Baseline against canary",
                panels=(
                    timeseries(
                        "Requests",
                        "A second.",
                        [Query(expr=rate(requests, _WINDOW, by), legend=_TRACK)],
                        unit="reqps",
                    ),
                    timeseries(
                        "Failed",
                        "Share of the requests.",
                        [Query(expr=share(failed, requests, _WINDOW, by), legend=_TRACK)],
                        unit="percentunit",
                        thresholds=Thresholds(None, goals.error_ratio),
                    ),
                    timeseries(
                        "p99",
                        "99 % of the requests are answered within this time. A dot is a trace: click it.",
                        [
                            Query(
                                expr=quantile(
                                    0.99,
                                    f"http_server_request_duration_seconds_bucket{{{OF_SERVICES},{ASKED}}}",
                                    _WINDOW,
                                    by,
                                ),
                                legend=_TRACK,
                                exemplars=True,
                            )
                        ],
                        unit="s",
                        thresholds=Thresholds(None, goals.request_ms / 1000),
                    ),
                    timeseries(
                        "Memory",
                        "Resident, of the pod that has the most.",
                        [
                            Query(
                                expr=f"max by ({by}) (process_resident_memory_bytes{{{OF_SERVICES}}})",
                                legend=_TRACK,
                            )
                        ],
                        unit="bytes",
                    ),
                    timeseries(
                        "CPU",
                        "Cores in use by each pod, on average.",
                        [
                            Query(
                                expr=f"avg by ({by}) (rate(process_cpu_seconds_total{{{OF_SERVICES}}}[{_WINDOW}]))",
                                legend=_TRACK,
                            )
                        ],
                        unit="short",
                    ),
                    timeseries(
                        "Exports that fail",
                        "Share of the export requests.",
                        [
                            Query(
                                expr=share(
                                    'tracing_export_requests_total{signal="traces",code!="ok"}',
                                    'tracing_export_requests_total{signal="traces"}',
                                    _WINDOW,
                                    by,
                                ),
                                legend=_TRACK,
                            )
                        ],
                        unit="percentunit",
                        thresholds=Thresholds(None, 0.01),
                    ),
                ),
            ),
        ),
    )
