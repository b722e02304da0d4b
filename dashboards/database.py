"""The dashboard *Database*: is the database the cause?"""

from typing import Final

from contracts import metrics
from contracts.metrics import INSTANCE, SERVICE, SPAN_NAME
from contracts.services import TASK_MANAGER
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row, of_services
from dashboards.panels import (
    Column,
    Panel,
    Query,
    Thresholds,
    TraceSearch,
    about_dots,
    per_second,
    stat,
    table,
    timeseries,
    traces,
    with_exemplars,
)
from dashboards.queries import (
    FAILED_SPAN,
    RATE_INTERVAL,
    STATEMENT_SPAN,
    buckets,
    equals,
    quantile,
    rate,
    ratio,
    series,
)

_STATEMENTS: Final = series(metrics.SPAN_CALLS, STATEMENT_SPAN)
_FAILED: Final = series(metrics.SPAN_CALLS, STATEMENT_SPAN, FAILED_SPAN)
_DURATION: Final = buckets(metrics.SPAN_DURATION, STATEMENT_SPAN)
_TOTAL_TIME: Final = series(f"{metrics.SPAN_DURATION}_sum", STATEMENT_SPAN)
_ERROR_THRESHOLDS: Final = Thresholds(0.005, 0.02)


def _duration_thresholds(config: MonitoringConfig) -> Thresholds:
    return Thresholds(config.objectives.statement_ms / 2, config.objectives.statement_ms)


def statements(_: MonitoringConfig) -> Panel:
    """Statements per second."""
    return stat(
        "Statements", "Statements per second.", rate(_STATEMENTS, RATE_INTERVAL), unit=per_second("statements"), width=6
    )


def p95(config: MonitoringConfig) -> Panel:
    """95th percentile of the statements' duration."""
    return stat(
        "p95 duration",
        "95 % of the statements take at most this long.",
        quantile(0.95, _DURATION, RATE_INTERVAL),
        unit="ms",
        thresholds=_duration_thresholds(config),
        width=6,
    )


def error_ratio(_: MonitoringConfig) -> Panel:
    """Share of the statements that failed."""
    return stat(
        "Error ratio",
        "Share of the statements that failed.",
        ratio(_FAILED, _STATEMENTS, RATE_INTERVAL),
        unit="percentunit",
        thresholds=_ERROR_THRESHOLDS,
        width=6,
    )


@of_services
def connections_in_use(_: MonitoringConfig) -> Panel:
    """Use of the fullest connection pool."""
    used = f"sum by ({INSTANCE}) ({series(metrics.DB_CONNECTIONS, equals('state', 'used'))})"
    return stat(
        "Connections in use",
        "Share of a pod's connection pool that is in use; the pod with the fullest pool counts.",
        f"max({used} / sum by ({INSTANCE}) ({metrics.DB_POOL_SIZE}))",
        unit="percentunit",
        thresholds=Thresholds(0.7, 1),
        width=6,
    )


def duration(config: MonitoringConfig) -> Panel:
    """Percentiles of the statements' duration."""

    def percentile(q: float) -> Query:
        return Query(expr=quantile(q, _DURATION, RATE_INTERVAL), legend=f"p{q * 100:g}")

    return timeseries(
        "Statement duration",
        f"Duration of all statements. {about_dots(config)}",
        [percentile(0.5), percentile(0.95), *with_exemplars(config, percentile(0.99), STATEMENT_SPAN)],
        unit="ms",
        thresholds=Thresholds(None, config.objectives.statement_ms),
    )


def p95_by_statement(config: MonitoringConfig) -> Panel:
    """95th percentile of each statement's duration."""
    return timeseries(
        "p95 duration, by statement",
        "95 % of the statement's runs take at most this long.",
        [Query(expr=quantile(0.95, _DURATION, RATE_INTERVAL, SPAN_NAME), legend="{{span_name}}")],
        unit="ms",
        thresholds=Thresholds(None, config.objectives.statement_ms),
    )


def statements_of_last_5_minutes(config: MonitoringConfig) -> Panel:
    """Every statement with its share of the time, rate, duration and error ratio."""
    by = {SERVICE: "Service", SPAN_NAME: "Statement"}
    p95 = quantile(0.95, _DURATION, "5m", *by)
    failed = ratio(_FAILED, _STATEMENTS, "5m", *by)
    return table(
        "Statements of the last 5 minutes",
        "The statement that takes the most time in total comes first.",
        [
            Column(title="Database time per second", query=rate(_TOTAL_TIME, "5m", *by), unit="ms"),
            Column(title="Rate", query=rate(_STATEMENTS, "5m", *by), unit=per_second("statements")),
            Column(title="p95", query=p95, unit="ms", thresholds=_duration_thresholds(config)),
            Column(title="Error ratio", query=failed, unit="percentunit", thresholds=_ERROR_THRESHOLDS),
        ],
        by=by,
    )


@of_services
def connection_pool(_: MonitoringConfig) -> Panel:
    """Connections by state, and the pools' size."""
    return timeseries(
        "Connection pool",
        "Connections of all pods, by state, and the total size of their pools.",
        [
            Query(expr=f"sum by (state) ({metrics.DB_CONNECTIONS})", legend="{{state}}"),
            Query(expr=f"sum({metrics.DB_POOL_SIZE})", legend="size"),
        ],
        unit="short",
        width=8,
    )


@of_services
def connection_wait(_: MonitoringConfig) -> Panel:
    """Time until a connection is free."""
    wait = quantile(0.95, buckets(metrics.DB_CONNECTION_WAIT), RATE_INTERVAL)
    return timeseries(
        "Wait for a connection",
        "p95 of the time until a connection is free.",
        [Query(expr=wait, legend="p95")],
        unit="s",
        width=8,
    )


@of_services
def connection_timeouts(_: MonitoringConfig) -> Panel:
    """How often no connection was free in time."""
    return timeseries(
        "Connection timeouts",
        "How often per second no connection was free in time.",
        [Query(expr=rate(metrics.DB_CONNECTION_TIMEOUTS, RATE_INTERVAL), legend="timeouts")],
        unit=per_second("timeouts"),
        width=8,
    )


def slow_statements(config: MonitoringConfig) -> Panel | None:
    """Traces with a slow statement."""
    limit = config.objectives.statement_ms
    return traces(
        config,
        "Slow statements" if config.trace_backend == "tempo" else "Traces with slow statements",
        f"Statements that took more than {limit} ms, each with its trace.",
        TraceSearch(service=TASK_MANAGER if config.services else ".+", statements=True, slower_than_ms=limit),
        normally_empty="no statement was slow.",
    )


DASHBOARD: Final = Dashboard(
    uid="database",
    title="Database",
    question="Is the database the cause? Statements, connections, and what is slow.",
    rows=(
        Row("Now", (statements, p95, error_ratio, connections_in_use)),
        Row("Statements", (duration, p95_by_statement, statements_of_last_5_minutes)),
        Row("Connections", (connection_pool, connection_wait, connection_timeouts)),
        Row("Traces", (slow_statements,)),
    ),
)
