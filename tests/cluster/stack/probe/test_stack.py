"""On the local stack: without its trace store, the probe's proofs fail and an alert says so; then they are complete."""

import kubernetes

from checks.chaos.cluster import LocalCluster
from checks.detect.run import Alerts
from checks.faults.changes import deployed, stopped
from checks.faults.journal import Journal
from checks.faults.stored import injected
from contracts import endpoints, metrics, service_metrics
from contracts.metrics import RESULT, STEP
from dashboards.queries import equals, series
from stack.clients.prometheus import PrometheusClient
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import load

SECONDS = {"PROBE_INTERVAL_SECONDS": "2", "PROBE_VISIBLE_SECONDS": "9"}
"""Shorter times than the stack's: the test waits for several proofs. Span metrics take up to 6 s to Prometheus."""


def test_an_unavailable_store_is_reported_until_it_is_available() -> None:
    cluster = LocalCluster(load("local"))
    prometheus = PrometheusClient(f"http://{cluster.address(endpoints.PROMETHEUS)}:{endpoints.PROMETHEUS_PORT}")
    hurried = deployed(
        endpoints.PROBE,
        lambda: {"env": [{"name": name, "value": value, "valueFrom": None} for name, value in SECONDS.items()]},
    )

    def counted(name: str, *matchers: str) -> float:
        """Return what the running pod counted since its start."""
        (pod,) = cluster.ready(endpoints.PROBE)
        instance = equals("instance", f"{pod.status.pod_ip}:{endpoints.SERVICE_PORT}")
        return sum(each.value for each in prometheus.query(series(name, instance, *matchers)))

    def failed(step: str) -> float:
        return counted(metrics.PROBE_STEPS, equals(STEP, step), equals(RESULT, "failed"))

    def complete() -> float:
        return counted(metrics.PROBE_PROOFS, equals(RESULT, "complete"))

    journal = Journal()
    with journal.locked(), injected("probe-in-a-hurry", hurried, cluster, journal):
        poll_until("a complete proof", complete, seconds=120, every=1, look_at="the log of the probe")
        synthetic = series(f"{service_metrics.TASK_DURATION}_count", equals(service_metrics.SYNTHETIC, "test"))
        assert prometheus.query(synthetic), "the probe's tasks are counted apart"
        failed_before = failed("trace")
        with injected("store-down", stopped(cluster.store), cluster, journal):
            poll_until(
                "two failures, and TelemetryIncomplete to fire",
                # The alert may already fire: it counts the failures of five minutes, also those of an earlier test.
                lambda: (
                    failed("trace") >= failed_before + 2 and "TelemetryIncomplete" in Alerts(prometheus).names("firing")
                ),
                seconds=150,
                every=1,
                look_at=f"{metrics.PROBE_STEPS} in Prometheus",
            )
            assert failed("request") == failed("task") == 0, "the users are well"
            (pod,) = cluster.ready(endpoints.PROBE)
            log = kubernetes.client.CoreV1Api(connect(cluster.settings.cluster)).read_namespaced_pod_log(
                pod.metadata.name, cluster.namespace
            )
            assert "trace: waited 9 s for the whole trace" in log
            complete_before = complete()
        poll_until(
            "a complete proof after the store is back",
            lambda: complete() > complete_before,
            seconds=120,
            every=1,
            look_at="the log of the probe",
        )
