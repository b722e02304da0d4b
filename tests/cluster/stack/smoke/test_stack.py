"""The smoke check on the real local cluster, and its message when a hop is broken."""

import kubernetes
import pytest

from contracts.hops import HOPS
from contracts.secret_keys import SECRET
from stack.deploy.render import render
from stack.kubernetes.apply import apply
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import CheckFailure, poll_until
from stack.settings import PROJECT, effective_config, load, parse
from stack.smoke.check import check


def test_one_request_is_one_trace() -> None:
    report = check(load("local"))
    assert report.stored
    assert set(report.stored.hops) == set(HOPS)
    assert report.task
    assert report.task["status"] == "completed"
    assert report.stored.search_seconds < 30
    assert all(report.calls[service] > 0 for service in ("gateway", "task-manager", "web-crawler"))


def test_without_queries_of_traces_the_check_ends_at_the_receiver() -> None:
    receiver = {"external": {"otlpUrl": "http://receiver:4317"}}
    # The same stack: only the check does not know that its trace store can be queried.
    settings = parse({**effective_config("local"), f"{PROJECT}:traces": receiver}, "local")
    report = check(settings)
    assert report.stored is None
    assert report.task
    (acknowledged,) = report.acknowledged
    assert acknowledged.sent >= acknowledged.accepted > len(HOPS)


def test_no_email_address_reaches_the_store() -> None:
    report = check(load("local"))
    assert "smoke@example.com" not in repr(report.stored)


def test_a_second_deployment_changes_nothing_and_prunes_removed_objects() -> None:
    settings = load("local")
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    values = read_secret(client, namespace, SECRET)
    manifests = render("local", values)
    extra = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "no-longer-declared", "namespace": namespace},
        "data": {},
    }
    lines: list[str] = []
    apply(client, namespace, [*manifests, extra], lines.append)
    apply(client, namespace, manifests, lines.append)
    assert lines[-2:] == [
        f"all {len(manifests)} objects are as declared, 0 had to change",
        "pruned configmap/no-longer-declared",
    ]


def test_a_stopped_crawler_is_named() -> None:
    settings = load("local")
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    apps, core = kubernetes.client.AppsV1Api(client), kubernetes.client.CoreV1Api(client)

    def scale(replicas: int) -> None:
        apps.patch_namespaced_deployment_scale("web-crawler", namespace, {"spec": {"replicas": replicas}})

        def scaled() -> bool:
            # The pods themselves: a Deployment does not count one that is ending, which still consumes.
            pods = core.list_namespaced_pod(namespace, label_selector="app.kubernetes.io/name=web-crawler").items
            ready = [pod for pod in pods if pod.status.container_statuses and pod.status.container_statuses[0].ready]
            return len(pods) == len(ready) == replicas

        poll_until(f"web-crawler to have {replicas} pods", scaled, seconds=90, every=0.25, look_at="kubectl get pods")

    scale(0)
    try:
        with pytest.raises(CheckFailure, match=r"waited 5 s for task .* to be completed"):
            check(settings, task_seconds=5)
    finally:
        scale(1)
