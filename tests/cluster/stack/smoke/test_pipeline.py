"""A stack without services on the real cluster, in a namespace of its own: it takes spans of other services."""

from collections.abc import Iterator

import kubernetes
import pytest

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.kubernetes.apply import apply
from stack.kubernetes.client import connect
from stack.settings import Settings, effective_config, load, parse
from stack.smoke.pipeline import check_pipeline
from tests.support.program import pipeline_config, recorded, without_claims

NAMESPACE = "tracing-pipeline-test"


@pytest.fixture
def pipeline() -> Iterator[Settings]:
    """The settings of a stack that runs."""
    local = effective_config("local")
    config = pipeline_config(
        cluster={**local[f"{PROJECT}:cluster"], "namespace": NAMESPACE},
        traces=local.get(f"{PROJECT}:traces", {}),
        metrics={"scrapeIntervalSeconds": 5},
        grafana={"enabled": False},
        logs={"enabled": False},
        alerting={"enabled": False},
    )
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.GENERATED}
    manifests = without_claims(recorded("test", config | secrets).manifests)
    client = connect(load("local").cluster)
    apply(client, NAMESPACE, manifests, lambda _: None)
    yield parse(config, "test")
    kubernetes.client.CoreV1Api(client).delete_namespace(NAMESPACE)


def test_spans_of_other_services_are_stored_searched_and_counted(pipeline: Settings) -> None:
    report = check_pipeline(pipeline)
    kinds = [(span.service, span.kind) for span in report.spans]
    assert kinds == [("smoke-check", "SERVER"), ("smoke-check", "CLIENT")]
    assert report.spans[1].parent_id == report.spans[0].span_id
    assert report.calls == {"smoke-check": 2}
