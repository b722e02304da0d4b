"""The queries that a stack ships, from its settings."""

from collections.abc import Callable

from checks.contract.queries import Contract, ShippedQuery, of_dashboards, of_links, of_rules, of_runbooks
from checks.upgrade import data as upgrade_data
from contracts.services import SERVICES
from contracts.telemetry import load_registry
from dashboards.catalog import dashboards
from dashboards.datasources import datasources
from dashboards.rules import annotation_queries, groups
from dashboards.rules.runbook import RUNBOOKS
from stack.accounting.judge import account
from stack.clients.prometheus import Query, Series
from stack.explain.queries import all_queries as explain_queries
from stack.probe.calls import CALLS_QUERY as PROBE_CALLS_QUERY
from stack.rollout.measurements import collect
from stack.settings import Settings
from stack.settings.monitoring import monitoring_config
from stack.smoke.acknowledged import queries as acknowledgement_queries
from stack.smoke.check import CALLS_QUERY

_WINDOW = (0.0, 600.0)


def shipped(settings: Settings) -> tuple[Contract, list[ShippedQuery]]:
    """The contract of a stack, and the queries of its dashboards, links, rules, runbooks and programs."""
    monitoring = monitoring_config(settings)
    rules = groups(monitoring)
    runbooks = {path.stem: path.read_text() for path in sorted(RUNBOOKS.glob("*.md"))}
    start, end = _WINDOW
    return Contract(load_registry(), rules), [
        *of_dashboards(dashboards(monitoring).values()),
        *of_links(
            datasources(
                backend=monitoring.trace_backend, traces_url="http://traces", prometheus_url="", loki_url="http://loki"
            )
        ),
        *of_rules(rules),
        *(ShippedQuery(place="annotation of an alert", language="promql", text=text) for text in annotation_queries()),
        *of_runbooks(runbooks),
        *(ShippedQuery(place="wct explain", language="promql", text=text) for text in explain_queries(SERVICES)),
        *_sent("rollout gate", lambda query: collect(query, _WINDOW, "stable")),
        *_sent("span accounting", lambda query: account(monitoring, query, seconds=end - start, end=end)),
        ShippedQuery(place="smoke check", language="promql", text=CALLS_QUERY),
        *(
            ShippedQuery(place="smoke check", language="promql", text=text)
            for text in acknowledgement_queries(monitoring)
        ),
        ShippedQuery(place="check of upgrades", language="promql", text=upgrade_data.CALLS_QUERY),
        ShippedQuery(place="probe", language="promql", text=PROBE_CALLS_QUERY),
    ]


def _sent(place: str, program: Callable[[Query], object]) -> list[ShippedQuery]:
    """Return the queries that a program sends; it gets an empty result for each."""
    sent: list[ShippedQuery] = []

    def query(text: str, _: float) -> list[Series]:
        sent.append(ShippedQuery(place=place, language="promql", text=text))
        return []

    program(query)
    return sent
