"""Is it the database?"""

from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Column, Query, Thresholds, TraceSearch, stat, table, timeseries, traces, with_exemplars
from dashboards.queries import CALLS, DURATION_MS, FAILED, STATEMENT, quantile, rate, share
from stack.settings import Settings

_WINDOW = "$__rate_interval"
_STATEMENTS = f'deployment_environment_name=~"$environment",{STATEMENT}'


def database(settings: Settings) -> Dashboard:
    """Statements as their client sees them, the pool of connections, and the slow ones."""
    limit = settings.objectives.statement_ms
    calls, failed = f"{CALLS}{{{_STATEMENTS}}}", f"{CALLS}{{{_STATEMENTS},{FAILED}}}"
    buckets = f"{DURATION_MS}{{{_STATEMENTS}}}"
    used = 'sum by (instance) (db_client_connection_count{state="used"})'
    return Dashboard(
        uid="database",
        title="Database",
        question="Is it the database? Statements, connections, and what is slow.",
        rows=(
            Row(
                title="Now",
                panels=(
                    stat("Statements", "A second.", rate(calls, _WINDOW), unit="reqps", width=6),
                    stat(
                        "p95",
                        "95 % of the statements take at most this long.",
                        quantile(0.95, buckets, _WINDOW),
                        unit="ms",
                        thresholds=Thresholds(limit / 2, limit),
                        width=6,
                    ),
                    stat(
                        "Failed",
                        "Share of the statements.",
                        share(failed, calls, _WINDOW),
                        unit="percentunit",
                        thresholds=Thresholds(0.005, 0.02),
                        width=6,
                    ),
                    stat(
                        "Connections in use",
                        "Share of the pool of the pod that has the fewest left.",
                        f"max({used} / sum by (instance) (db_client_connection_pool_size))",
                        unit="percentunit",
                        thresholds=Thresholds(0.7, 1),
                        width=6,
                    ),
                ),
            ),
            Row(
                title="Statements",
                panels=(
                    timeseries(
                        "Duration",
                        "Of all statements. A dot is a trace: click it.",
                        [
                            *(Query(expr=quantile(q, buckets, _WINDOW), legend=f"p{q * 100:g}") for q in (0.5, 0.95)),
                            *with_exemplars(
                                settings, Query(expr=quantile(0.99, buckets, _WINDOW), legend="p99"), _STATEMENTS
                            ),
                        ],
                        unit="ms",
                        thresholds=Thresholds(None, limit),
                    ),
                    timeseries(
                        "p95, by statement",
                        "95 % take at most this long.",
                        [Query(expr=quantile(0.95, buckets, _WINDOW, "span_name"), legend="{{span_name}}")],
                        unit="ms",
                        thresholds=Thresholds(None, limit),
                    ),
                    table(
                        "Statements of the last five minutes",
                        "What takes the most time in all comes first.",
                        [
                            Column(
                                title="Time a second",
                                query=rate(
                                    f"traces_span_metrics_duration_milliseconds_sum{{{_STATEMENTS}}}",
                                    "5m",
                                    "service_name, span_name",
                                ),
                                unit="ms",
                            ),
                            Column(title="Rate", query=rate(calls, "5m", "service_name, span_name"), unit="reqps"),
                            Column(
                                title="p95",
                                query=quantile(0.95, buckets, "5m", "service_name, span_name"),
                                unit="ms",
                                thresholds=Thresholds(limit / 2, limit),
                            ),
                            Column(
                                title="Failed",
                                query=share(failed, calls, "5m", "service_name, span_name"),
                                unit="percentunit",
                                thresholds=Thresholds(0.005, 0.02),
                            ),
                        ],
                        by={"service_name": "Service", "span_name": "Statement"},
                    ),
                ),
            ),
            Row(
                title="Connections",
                panels=(
                    timeseries(
                        "Pool",
                        "Connections of all pods, by state; the pools' size above them.",
                        [
                            Query(expr="sum by (state) (db_client_connection_count)", legend="{{state}}"),
                            Query(expr="sum(db_client_connection_pool_size)", legend="size"),
                        ],
                        unit="short",
                    ),
                    timeseries(
                        "Waiting for a connection",
                        "p95 of the time until there was one, and how many got none in time, a second.",
                        [
                            Query(
                                expr=quantile(0.95, "db_client_connection_wait_seconds_bucket", _WINDOW), legend="p95"
                            ),
                            Query(
                                expr=f"sum(rate(db_client_connection_timeouts_total[{_WINDOW}]))",
                                legend="got none, a second",
                            ),
                        ],
                        unit="s",
                    ),
                ),
            ),
            Row(
                title="Traces",
                panels=(
                    traces(
                        settings,
                        "Slow statements",
                        f"Traces with a statement that took more than {limit} ms.",
                        TraceSearch(service="task-manager", statements=True, slower_than_ms=limit),
                        normally_empty="no statement was slow.",
                    ),
                ),
            ),
        ),
    )
