"""Loki's configuration, which must not lose lines silently, and Grafana's links from and to it."""

from typing import Any

import pytest

from dashboards.datasources import datasources
from stack.components.loki.config import INDEXED, loki_config
from stack.components.loki.settings import Logs
from stack.components.prometheus.config import prometheus_config
from stack.settings import load
from stack.settings.scraping import scraping


def _by_uid(loki_url: str | None) -> dict[str, dict[str, Any]]:
    document = datasources(backend="tempo", traces_url="http://t", prometheus_url="http://p", loki_url=loki_url)
    return {source["uid"]: source for source in document["datasources"]}


def test_retention_is_enforced_for_storage_queries_and_new_lines() -> None:
    config = loki_config(Logs(), "100h")
    limits = config["limits_config"]
    assert config["compactor"]["retention_enabled"] is True
    assert limits["retention_period"] == limits["max_query_lookback"] == limits["reject_old_samples_max_age"] == "100h"


def test_caches_and_replay_fit_into_the_memory() -> None:
    small, large = loki_config(Logs(memory="256Mi"), "48h"), loki_config(Logs(memory="4Gi"), "48h")
    assert small["ingester"]["wal"]["replay_memory_ceiling"] == "128MB"
    assert large["ingester"]["wal"]["replay_memory_ceiling"] == "2048MB"
    for config, memory in ((small, 256), (large, 4096)):
        chunks = config["chunk_store_config"]["chunk_cache_config"]["embedded_cache"]["max_size_mb"]
        results = config["query_range"]["results_cache"]["cache"]["embedded_cache"]["max_size_mb"]
        assert chunks + 7 * results <= memory / 4, "seven caches are made after the one for results"


def test_labels_are_few_and_do_not_grow_with_pods_or_requests() -> None:
    limits = loki_config(Logs(), "48h")["limits_config"]
    attributes = limits["otlp_config"]["resource_attributes"]
    assert attributes["ignore_defaults"] is True
    assert attributes["attributes_config"] == [{"action": "index_label", "attributes": list(INDEXED)}]
    assert not {"k8s.pod.name", "k8s.pod.uid", "service.instance.id"} & set(INDEXED)


def test_a_line_leads_to_its_trace_and_a_span_to_its_lines() -> None:
    sources = _by_uid("http://loki:3100")
    (field,) = sources["logs"]["jsonData"]["derivedFields"]
    assert field["datasourceUid"] == "traces"
    assert field["url"] == "$${__value.raw}", "`$` has to be escaped in provisioning files"
    logs = sources["traces"]["jsonData"]["tracesToLogsV2"]
    assert logs["datasourceUid"] == "logs"
    assert logs["query"] == '{$${__tags}} | trace_id="$${__trace.traceId}"'
    assert [tag["value"] for tag in logs["tags"]] == ["service_name"]
    assert {tag["key"] for tag in logs["tags"]} <= set(INDEXED), "only labels can select streams"


def test_without_loki_no_link_leads_to_it() -> None:
    sources = _by_uid(None)
    assert "logs" not in sources
    assert "tracesToLogsV2" not in sources["traces"]["jsonData"]


@pytest.mark.parametrize("enabled", [True, False])
def test_loki_is_scraped_if_the_stack_has_one(enabled: bool) -> None:
    settings = load("dev").model_copy(update={"logs": Logs(enabled=enabled)})
    jobs = {job["job_name"] for job in prometheus_config(scraping(settings))["scrape_configs"]}
    assert ("log-store" in jobs) == enabled
