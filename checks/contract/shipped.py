"""The queries that a stack ships, from its settings."""

from checks.contract.queries import Contract, ShippedQuery, of_dashboards, of_rules, of_runbooks
from contracts.telemetry import load_registry
from dashboards.catalog import RUNBOOKS, dashboards
from dashboards.rules import groups
from stack.settings import Settings
from stack.settings.monitoring import monitoring_config


def shipped(settings: Settings) -> tuple[Contract, list[ShippedQuery]]:
    """The contract of a stack, and the queries of its dashboards, rules and runbooks."""
    monitoring = monitoring_config(settings)
    rules = groups(monitoring)
    runbooks = {path.stem: path.read_text() for path in sorted(RUNBOOKS.glob("*.md"))}
    queries = [*of_dashboards(dashboards(monitoring).values()), *of_rules(rules), *of_runbooks(runbooks)]
    return Contract(load_registry(), rules), queries
