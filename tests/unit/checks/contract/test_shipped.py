"""Every query that the project ships names only what the telemetry contract has."""

from functools import cache
from typing import Any

import pytest

from checks.contract.command import reference_page
from checks.contract.page import PAGE
from checks.contract.queries import Contract, ShippedQuery
from checks.contract.shipped import shipped
from contracts.telemetry import load_registry
from dashboards.datasources import datasources
from stack.settings import ROOT, load

STACKS = ("local", "dev", "staging", "prod")


@cache
def shipped_by(stack: str) -> tuple[Contract, list[ShippedQuery]]:
    return shipped(load(stack))


@pytest.mark.parametrize("stack", STACKS)
def test_queries_name_only_what_is_emitted(stack: str) -> None:
    contract, queries = shipped_by(stack)
    languages = {query.language for query in queries}
    assert {"promql", "logql"} <= languages
    problems = [f"{query.place}: {problem}" for query in queries for problem in contract.problems(query)]
    assert not problems, "\n".join(problems)


def test_only_tempo_has_grafanas_service_graph() -> None:
    assert any(query.place == "datasource Traces, service graph" for query in shipped_by("prod")[1])
    urls: dict[str, Any] = {"traces_url": "http://jaeger", "prometheus_url": "", "loki_url": None}
    sources = datasources(backend="jaeger", **urls)["datasources"]
    (traces,) = [source for source in sources if source["type"] == "jaeger"]
    assert "serviceMap" not in traces["jsonData"]


def test_a_renamed_metric_label_value_field_or_attribute_is_found() -> None:
    contract, _ = shipped_by("prod")

    def problems(language: str, text: str) -> list[str]:
        return contract.problems(ShippedQuery(place="here", language=language, text=text))

    assert problems("promql", "http_requests_total") == ["nothing emits http_requests_total"]
    assert problems("promql", 'http_server_requests_total{path="/x"}')
    assert problems("promql", "sum by (topic) (dependency_up)")
    assert problems("logql", '{service="gateway"} | logger="x"') == ["no log record has the field logger"]
    assert problems("traceql", '{ resource.service.nam = "gateway" }') == ["no span has the attribute service.nam"]
    assert problems("promql", 'kafka_messages_consumed_total{outcome="dead_lettered"}') == [
        "outcome of kafka_messages_consumed_total is never 'dead_lettered'"
    ]
    assert problems("promql", 'crawler_pages_total{outcome="retried"}'), "an outcome of messages, not of pages"
    assert problems("promql", 'tracing_spans:rate{stage="exportd"}')
    assert problems("promql", 'ALERTS{alertname="NoSuchAlert"}')
    assert problems("logql", '{service_name="gatway"}') == ["service_name is never 'gatway'"]
    assert problems("traceql", '{ resource.service.name = "gatway" }') == ["resource.service.name is never 'gatway'"]
    assert not problems("traceql", '{ resource.service.name = "gateway" && span.task.id = "a.b" && duration > 1s }')
    assert not problems("logql", '{service_name="gateway"} |= "label=value" | severity_text=~"ERROR|WARNING"')


def test_metrics_of_other_programs_are_there_because_a_query_reads_them() -> None:
    registry = load_registry()
    read = {
        series
        for stack in STACKS
        for contract, queries in [shipped_by(stack)]
        for query in queries
        if query.language == "promql"
        for series in contract.read(query.text).series
    }
    own = {"services", "task-manager", "web-crawler"}
    unread = [
        metric.name
        for metric in registry.metrics.values()
        if metric.program not in own and not read.intersection(metric.series)
    ]
    assert not unread, "no query reads these: take them out of the registry"


def test_the_reference_page_is_made_from_the_registry() -> None:
    assert (ROOT / PAGE).read_text() == reference_page(), "`make telemetry` writes the page"
