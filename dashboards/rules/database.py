"""The database as its client sees it."""

from dashboards.queries import CALLS, DURATION_MS, FAILED, STATEMENT, grown, quantile, share
from dashboards.rules.model import AlertRule, RuleGroup
from stack.settings import Settings

_STATEMENT = "service_name, span_name"


def database(settings: Settings) -> tuple[RuleGroup, ...]:
    """Alerts on statements and the pool of connections."""
    statements, failed = f"{CALLS}{{{STATEMENT}}}", f"{CALLS}{{{STATEMENT},{FAILED}}}"
    duration = f"{DURATION_MS}{{{STATEMENT}}}"
    return (
        RuleGroup(
            name="database",
            rules=(
                AlertRule(
                    name="StatementsSlow",
                    query=f"{quantile(0.95, duration, '1m', _STATEMENT)}"
                    f" > {settings.objectives.statement_ms}"
                    f" and on ({_STATEMENT}) {grown(statements, '1m', _STATEMENT)} >= 5",
                    for_="15s",
                    severity="page",
                    summary="{{ $labels.span_name }} is slow",
                    description="One in twenty takes more than {{ $value | humanize }} ms.",
                    dashboard="database",
                ),
                AlertRule(
                    name="StatementsFail",
                    query=f"{share(failed, statements, '1m', 'service_name')} > 0.02"
                    f" and on (service_name) {grown(failed, '1m', 'service_name')} >= 3",
                    for_="10s",
                    severity="page",
                    summary="{{ $value | humanizePercentage }} of the statements of {{ $labels.service_name }} fail",
                    description="Statements of the last minute that the database or the way to it refused.",
                    dashboard="database",
                ),
                AlertRule(
                    name="PoolExhausted",
                    query="increase(db_client_connection_timeouts_total[2m]) > 0"
                    ' or db_client_connection_count{state="used"} >= on (instance, pool) group_left ()'
                    " db_client_connection_pool_size",
                    for_="1m",
                    severity="page",
                    summary="{{ $labels.job }} has no database connection left",
                    description="All connections of the pool {{ $labels.pool }} of {{ $labels.instance }} are in use.",
                    dashboard="database",
                ),
            ),
        ),
    )
