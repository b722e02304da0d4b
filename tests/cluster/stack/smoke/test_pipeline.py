"""Stacks without services on the real cluster, in namespaces of their own: they take spans of other services."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kubernetes
import pytest

from checks.harness.admitted import admitted
from contracts import endpoints, secret_keys
from contracts.metadata import PROJECT
from stack.kubernetes.apply import apply
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import Settings, effective_config, load, parse
from stack.smoke.pipeline import check_pipeline
from stack.stores import Stores
from tests.support.program import pipeline_config, recorded, without_claims

NAMESPACES = {"storing": "tracing-pipeline-test", "receiving": "tracing-receiver-test"}


@pytest.fixture(scope="module", autouse=True)
def _no_namespaces() -> None:
    """Waits for those of an earlier run: a namespace is removed while the next tests run."""
    poll_until("the namespaces to be gone", lambda: not _existing(connect(load("local").cluster)), seconds=120)


@contextmanager
def running(namespace: str, traces: dict[str, Any]) -> Iterator[Settings]:
    """Run a stack with this section, and yield its settings. Its namespace ends afterwards."""
    config = pipeline_config(
        cluster={**effective_config("local")[f"{PROJECT}:cluster"], "namespace": namespace},
        traces=traces,
        metrics={"scrapeIntervalSeconds": 2},
        grafana={"enabled": False},
        logs={"enabled": False},
        alerting={"enabled": False},
    )
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.GENERATED}
    manifests = without_claims(recorded("test", config | secrets).manifests)
    client = connect(load("local").cluster)
    apply(client, namespace, manifests, lambda _: None)
    try:
        yield parse(config, "test")
    finally:
        kubernetes.client.CoreV1Api(client).delete_namespace(namespace)


def _existing(client: kubernetes.client.ApiClient) -> set[str]:
    namespaces = kubernetes.client.CoreV1Api(client).list_namespace().items
    return {item.metadata.name for item in namespaces} & set(NAMESPACES.values())


def test_spans_of_other_services_are_stored_searched_and_counted() -> None:
    with running(NAMESPACES["storing"], effective_config("local").get(f"{PROJECT}:traces", {})) as settings:
        report = check_pipeline(settings)
    assert report.stored
    # A store may return the spans of a trace in any order.
    root, child = sorted(report.stored.spans, key=lambda span: span.parent_id != "")
    assert [(span.service, span.kind) for span in (root, child)] == [
        ("smoke-check", "SERVER"),
        ("smoke-check", "CLIENT"),
    ]
    assert (root.parent_id, child.parent_id) == ("", root.span_id)
    assert report.calls == {"smoke-check": 2}


def test_a_store_that_only_receives_has_acknowledged_the_spans_and_has_them() -> None:
    local = load("local")
    client = connect(local.cluster)
    service, _ = endpoints.TRACE_QUERY[local.traces.backend]
    core = kubernetes.client.CoreV1Api(client)
    address = core.read_namespaced_service(service, local.cluster.namespace).spec.cluster_ip
    traces = {"external": {"otlpUrl": endpoints.url(address, endpoints.OTLP_GRPC_PORT)}}
    namespace = NAMESPACES["receiving"]
    neighbour = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    with admitted(client, local.cluster.namespace, namespace, neighbour), running(namespace, traces) as settings:
        report = check_pipeline(settings)
    assert report.stored is None
    (acknowledged,) = report.acknowledged
    assert (acknowledged.accepted, acknowledged.sent) == (2, 2)
    with Stores(settings=local, client=client).traces() as store:
        assert len(store.trace(report.trace_id)) == 2
