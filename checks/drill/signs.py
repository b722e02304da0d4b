"""Looks whether a fault shows in the local stack: its evidence, and its alerts."""

import time
from collections.abc import Callable
from typing import Final

import httpx

from checks.chaos.cluster import LocalCluster
from checks.drill.torn import TornTraces
from checks.faults.model import Fault
from contracts import endpoints
from contracts.services import GATEWAY
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.polling import CheckFailure

CALM_SECONDS: Final = 420.0
"""The time in which the alerts of a fault must resolve after it is undone: some have a window of five minutes."""
_EVERY_SECONDS: Final = 0.5


class Signs:
    """The signs of faults in Prometheus and the trace store."""

    def __init__(self, cluster: LocalCluster) -> None:
        backend = cluster.settings.traces.backend

        def url(service: str, port: int) -> str:
            return f"http://{cluster.address(service)}:{port}"

        self.prometheus = PrometheusClient(url(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT))
        store = TraceStoreClient(backend, url(*endpoints.TRACE_QUERY[backend]))
        self._traces = TornTraces(url(GATEWAY, endpoints.SERVICE_PORT), cluster.stack_key(), store)

    def shows(self, fault: Fault) -> bool:
        """Whether the evidence of a fault shows: its query has a result, or a trace is torn."""
        try:
            if fault.evidence.query:
                return bool(self.prometheus.query(fault.evidence.query))
            return self._traces.is_torn()
        except (httpx.HTTPError, CheckFailure):
            return False

    def alerts(self, fault: Fault) -> set[str]:
        """Which alerts of a fault are pending or firing."""
        try:
            return {alert["labels"]["alertname"] for alert in self.prometheus.alerts()} & fault.alerts
        except httpx.HTTPError:
            return set()

    def wait_until_clear(self, fault: Fault) -> bool:
        """Waits until neither the evidence nor an alert of a fault shows; returns whether that came in time."""
        return wait(lambda: not self.alerts(fault) and not self.shows(fault), CALM_SECONDS) is not None


def wait(condition: Callable[[], bool], seconds: float) -> float | None:
    """Returns after how many seconds a condition holds; None if it does not within the time."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() > started + seconds:
            return None
        time.sleep(_EVERY_SECONDS)
    return time.monotonic() - started
