"""A Prometheus in agent mode with the stack's configuration sends its samples to a real receiver of remote write."""

import time
from collections.abc import Iterator
from pathlib import Path

import kubernetes
import pytest

from checks.harness.http import CLIENT
from stack.components.prometheus.config import agent_config
from stack.components.prometheus.settings import ExternalMetrics
from stack.polling import poll_until
from stack.settings import load, parse
from stack.settings.scraping import scraping
from stack.stores import Stores
from tests.support.configuration import config
from tests.support.prometheus_process import PrometheusProcess


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PrometheusProcess]:
    """A metric store that the stack did not build: it scrapes nothing, and accepts remote write."""
    directory = tmp_path / "store"
    directory.mkdir()
    process = PrometheusProcess(directory, arguments=["--web.enable-remote-write-receiver"])
    process.start()
    yield process
    process.kill()


@pytest.fixture
def agent(store: PrometheusProcess, tmp_path: Path) -> Iterator[PrometheusProcess]:
    """The stack's agent, which scrapes the store alone."""
    external = ExternalMetrics.model_validate(
        {
            "queryUrl": store.url,
            "headers": {"X-Scope-OrgID": "tracing"},
            "remoteWrite": {"url": f"{store.url}/api/v1/write"},
        }
    )
    assert external.remote_write
    agent_file = agent_config(scraping(load("dev")), external, external.remote_write)
    target = {"targets": [store.url.removeprefix("http://")]}
    agent_file["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    agent_file["scrape_configs"] = [{**agent_file["scrape_configs"][-1], "static_configs": [target]}]
    directory = tmp_path / "agent"
    directory.mkdir()
    process = PrometheusProcess(
        directory,
        config=agent_file,
        features="exemplar-storage,extra-scrape-metrics",
        arguments=["--web.enable-otlp-receiver"],
        is_agent=True,
    )
    process.start()
    yield process
    process.kill()


def test_samples_arrive_with_the_labels_of_the_stack(agent: PrometheusProcess, store: PrometheusProcess) -> None:
    assert agent.is_running
    poll_until("a sample", lambda: store.query('up{job="prometheus",environment="dev"} == 1'))
    assert store.query('scrape_sample_limit{job="prometheus"}'), "the alert SamplesNearLimit needs it"


def test_metrics_that_collectors_send_arrive_as_well(agent: PrometheusProcess, store: PrometheusProcess) -> None:
    point = {"asInt": "7", "timeUnixNano": str(time.time_ns())}
    metric = {"name": "sent_over_otlp", "gauge": {"dataPoints": [point]}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    answer = CLIENT.post(f"{agent.url}/api/v1/otlp/v1/metrics", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    poll_until("the metric", lambda: store.query("sent_over_otlp == 7"))


def test_samples_wait_while_the_store_is_stopped(agent: PrometheusProcess, store: PrometheusProcess) -> None:
    poll_until("a sample", lambda: store.query("up"))
    store.stop()
    point = {"asInt": "7", "timeUnixNano": str(time.time_ns())}
    body = {
        "resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "waited", "gauge": {"dataPoints": [point]}}]}]}]
    }
    assert CLIENT.post(f"{agent.url}/api/v1/otlp/v1/metrics", json=body, timeout=10).status_code == 200
    time.sleep(3)
    store.start()
    poll_until("the metric", lambda: store.query("last_over_time(waited[1m]) == 7"))


def test_the_checks_query_it_without_the_cluster(agent: PrometheusProcess, store: PrometheusProcess) -> None:
    assert agent.is_running
    external = {"queryUrl": store.url, "remoteWrite": {"url": f"{store.url}/api/v1/write"}}
    settings = parse(config(metrics={"external": external}, alerting={"enabled": False}), "Pulumi.test.yaml")
    stores = Stores(settings=settings, client=kubernetes.client.ApiClient())

    def values() -> list[float]:
        with stores.prometheus() as prometheus:
            return [series.value for series in prometheus.query('up{job="prometheus"}')]

    poll_until("the sample", lambda: values() == [1])
