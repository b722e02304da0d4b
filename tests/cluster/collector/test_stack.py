"""The deployed Collector: authentication, and the way of OTLP metrics to Prometheus."""

import time
import uuid

import httpx
import pytest

from contracts import endpoints, secret_keys
from stack.clients.prometheus import PrometheusClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.kubernetes.port_forward import forward
from stack.polling import poll_until
from stack.settings import load

SETTINGS = load("local")


@pytest.mark.parametrize("token", [None, "Bearer wrong"])
@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_the_collector_refuses_requests_without_the_token(signal: str, token: str | None) -> None:
    client = connect(SETTINGS.cluster)
    headers = {"authorization": token} if token else {}
    with forward(client, SETTINGS.cluster.namespace, endpoints.COLLECTOR, endpoints.OTLP_HTTP_PORT) as address:
        assert httpx.post(f"{address}/v1/{signal}", json={}, headers=headers, timeout=10).status_code == 401


def test_otlp_metrics_are_found_in_prometheus_redacted() -> None:
    client, namespace = connect(SETTINGS.cluster), SETTINGS.cluster.namespace
    token = read_secret(client, namespace, secret_keys.SECRET)[secret_keys.OTLP_TOKEN]
    probe = uuid.uuid4().hex
    attributes = [
        {"key": "probe", "value": {"stringValue": probe}},
        {"key": "password", "value": {"stringValue": "hunter2"}},
    ]
    point = {"asDouble": 42, "timeUnixNano": str(time.time_ns()), "attributes": attributes}
    metrics = [{"name": "probe.temperature", "gauge": {"dataPoints": [point]}}]
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
    with (
        forward(client, namespace, endpoints.COLLECTOR, endpoints.OTLP_HTTP_PORT) as collector,
        forward(client, namespace, endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT) as prometheus,
    ):
        headers = {"authorization": f"Bearer {token}"}
        httpx.post(f"{collector}/v1/metrics", json=body, headers=headers, timeout=10).raise_for_status()

        (stored,) = poll_until(
            "the metric in Prometheus",
            lambda: PrometheusClient(prometheus).query(f'probe_temperature{{probe="{probe}"}}'),
            seconds=30,
            every=0.25,
            look_at=f"kubectl -n {namespace} logs collector-0",
        )
    assert stored.value == 42
    assert stored.labels["password"] == "****"
