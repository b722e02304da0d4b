"""Prometheus' configuration: what it scrapes."""

import pytest

from stack.components.prometheus.config import prometheus_config
from stack.settings import load
from stack.settings.scraping import scraping
from tests.support.program import rendered


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_every_target_has_a_sample_limit_and_prometheus_exports_it(stack: str) -> None:
    for job in prometheus_config(scraping(load(stack)))["scrape_configs"]:
        assert 1_000 <= job["sample_limit"] <= 100_000, job["job_name"]
    (prometheus,) = [
        manifest
        for manifest in rendered(stack)
        if (manifest["kind"], manifest["metadata"]["name"]) == ("StatefulSet", "prometheus")
    ]
    (container,) = prometheus["spec"]["template"]["spec"]["containers"]
    assert "--enable-feature=exemplar-storage,extra-scrape-metrics" in container["args"]
