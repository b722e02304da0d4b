"""The deployed Alertmanager: the alert that always fires arrives from Prometheus."""

from typing import Any

import httpx
import pytest

from contracts import endpoints
from stack.components.alertmanager.config import NO_RECEIVER
from stack.kubernetes.client import connect
from stack.kubernetes.port_forward import forward
from stack.polling import poll_until
from stack.settings import load

SETTINGS = load("local")


def test_the_watchdog_arrives() -> None:
    if not SETTINGS.alerting.enabled:
        pytest.skip("the local stack is up without Alertmanager: `make up` builds it, last")
    namespace = SETTINGS.cluster.namespace
    with forward(connect(SETTINGS.cluster), namespace, endpoints.ALERTMANAGER, endpoints.ALERTMANAGER_PORT) as url:

        def arrived() -> dict[str, Any] | None:
            query = {"filter": 'alertname="Watchdog"'}
            alerts = httpx.get(f"{url}/api/v2/alerts", params=query, timeout=10).json()
            return alerts[0] if alerts else None

        # Prometheus sends firing alerts once a minute.
        look_at = f"kubectl -n {namespace} logs prometheus-0"
        alert = poll_until("the Watchdog alert in the Alertmanager", arrived, seconds=90, every=0.25, look_at=look_at)
    assert alert["labels"]["environment"] == SETTINGS.environment
    assert alert["annotations"]["runbook_url"] == f"{SETTINGS.grafana.url}/d/runbook-watchdog"
    assert {receiver["name"] for receiver in alert["receivers"]} <= {NO_RECEIVER, "heartbeat"}
