"""Alerts on the database, as its client sees it."""

from typing import Final

from contracts import metrics
from contracts.metrics import SERVICE, SPAN_NAME
from dashboards.config import MonitoringConfig
from dashboards.queries import (
    FAILED_SPAN,
    STATEMENT_SPAN,
    above,
    buckets,
    equals,
    exact_increase,
    ratio,
    series,
    slow,
)
from dashboards.rules.model import AlertRule, RuleGroup

_STATEMENTS: Final = series(metrics.SPAN_CALLS, STATEMENT_SPAN)
_FAILED: Final = series(metrics.SPAN_CALLS, STATEMENT_SPAN, FAILED_SPAN)


def database(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on statements and the connection pool."""
    pool = (_pool_exhausted(),) if config.services else ()
    return RuleGroup(name="database", rules=(_statements_slow(config), _statements_fail(), *pool))


def _statements_slow(config: MonitoringConfig) -> AlertRule:
    statement = (SERVICE, SPAN_NAME)
    duration = buckets(metrics.SPAN_DURATION, STATEMENT_SPAN)
    limit = config.objectives.statement_ms
    return AlertRule(
        name="StatementsSlow",
        query=slow(duration, _STATEMENTS, "1m", limit, (0.95, 0.5), *statement),
        for_="15s",
        # A lock or a checkpoint that comes again makes the percentile go up and down.
        keep_firing_for="1m",
        severity="page",
        summary="The statement {{ $labels.span_name }} is slow",
        description="One run in twenty takes more than {{ $value | humanize }} ms.",
        dashboard="database",
    )


def _statements_fail() -> AlertRule:
    return AlertRule(
        name="StatementsFail",
        query=f"{above(ratio(_FAILED, _STATEMENTS, '1m', SERVICE), 0.02, 0.01, 'StatementsFail', SERVICE)}"
        f" and on ({SERVICE}) {exact_increase(_FAILED, '1m', SERVICE)} >= 3",
        for_="10s",
        # A database that restarts again and again works in between.
        keep_firing_for="1m",
        severity="page",
        summary="{{ $value | humanizePercentage }} of the statements of {{ $labels.service_name }} fail",
        description="Statements of the last minute that the database refused or that did not reach it.",
        dashboard="database",
    )


def _pool_exhausted() -> AlertRule:
    return AlertRule(
        name="PoolExhausted",
        # A single timeout, for example during a deployment, is over before an engineer could act.
        query=f"increase({metrics.DB_CONNECTION_TIMEOUTS}[2m]) > 3"
        f" or {series(metrics.DB_CONNECTIONS, equals('state', 'used'))} >= on (instance, pool) group_left ()"
        f" {metrics.DB_POOL_SIZE}",
        for_="1m",
        severity="page",
        summary="{{ $labels.job }} has no free database connection",
        description="All connections of the pool {{ $labels.pool }} of {{ $labels.instance }} are in use.",
        dashboard="database",
    )
