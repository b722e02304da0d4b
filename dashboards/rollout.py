"""Is the new version as good as the old one?"""

from dashboards.board import Board, Row
from dashboards.panels import Limits, Query, graph, number
from dashboards.queries import ASKED, CALLS, OF_SERVICES, quantile, rate, share
from stack import endpoints
from stack.settings import Settings

_WINDOW = "$__rate_interval"
_TRACK = "{{job}} {{track}}"


def rollout(settings: Settings) -> Board:
    """Baseline and canary side by side, and how much of what happens is traced."""
    goals = settings.objectives
    requests = f"http_server_requests_total{{{OF_SERVICES},{ASKED}}}"
    failed = f'http_server_requests_total{{{OF_SERVICES},{ASKED},status=~"5.."}}'
    gateway = f'http_server_requests_total{{job="{endpoints.GATEWAY}",{ASKED}}}'
    spans = f'{CALLS}{{service_name="{endpoints.GATEWAY}",span_kind="SPAN_KIND_SERVER"}}'
    by = "job, track"
    return Board(
        uid="rollout",
        title="Rollout",
        question="Is the new version as good as the old one? Baseline against canary, and what of it is traced.",
        rows=(
            Row(
                title="Now",
                panels=(
                    number(
                        "Pods, by track",
                        "That answer.",
                        Query(expr=f"sum by (track) (up{{{OF_SERVICES}}})", legend="{{track}}"),
                        unit="short",
                        width=6,
                    ),
                    number(
                        "Requests that are traced",
                        "Spans of the gateway's requests for each request that it counted.",
                        f"clamp_max({rate(spans, '5m')} / ({rate(gateway, '5m')} > 0), 1)",
                        unit="percentunit",
                        limits=Limits(0.99, 0.95, rising=False),
                        decimals=1,
                        width=6,
                    ),
                    number(
                        "Spans sampled out by the services",
                        "Share of those that were started.",
                        share("tracing_spans_sampled_out_total", "tracing_spans_started_total", "5m"),
                        unit="percentunit",
                        width=6,
                    ),
                    number(
                        "Failed",
                        "Share of the requests, by track.",
                        Query(expr=share(failed, requests, _WINDOW, "track"), legend="{{track}}"),
                        unit="percentunit",
                        limits=Limits(goals.error_ratio / 4, goals.error_ratio),
                        width=6,
                    ),
                ),
            ),
            Row(
                title="Baseline against canary",
                panels=(
                    graph(
                        "Requests",
                        "A second.",
                        [Query(expr=rate(requests, _WINDOW, by), legend=_TRACK)],
                        unit="reqps",
                    ),
                    graph(
                        "Failed",
                        "Share of the requests.",
                        [Query(expr=share(failed, requests, _WINDOW, by), legend=_TRACK)],
                        unit="percentunit",
                        limits=Limits(None, goals.error_ratio),
                    ),
                    graph(
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
                        limits=Limits(None, goals.request_ms / 1000),
                    ),
                    graph(
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
                    graph(
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
                    graph(
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
                        limits=Limits(None, 0.01),
                    ),
                ),
            ),
        ),
    )
