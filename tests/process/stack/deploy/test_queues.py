"""The queues of Collectors that a deployment removes."""

from collections.abc import Iterator
from urllib.parse import unquote

import kubernetes
import pytest

from contracts.metadata import Manifest
from stack.deploy import queues
from stack.deploy.queues import check_queues, queue_size
from stack.errors import DeployError
from tests.support.answering import answering
from tests.support.api_server import ApiServer
from tests.support.small_stack import SmallStack

METRICS = """\
# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_size{data_type="traces",exporter="otlp_grpc"} 1200
otelcol_exporter_queue_size{data_type="logs",exporter="otlp_http"} 34
otelcol_exporter_queue_capacity{data_type="traces",exporter="otlp_grpc"} 500000
"""


def answer(path: str) -> tuple[int, str]:
    """Answers as an API server whose proxy reaches every pod but collector-3; collector-2 has no queue."""
    is_proxied = path.startswith("/api/v1/namespaces/tracing/pods/") and path.endswith("/proxy/metrics")
    body = METRICS if "collector-1:8888" in unquote(path) else "up 1\n"
    return (200 if is_proxied and "collector-3" not in path else 503), body


@pytest.fixture(scope="module")
def client() -> Iterator[kubernetes.client.ApiClient]:
    with answering("text/plain", answer) as client:
        yield client


@pytest.mark.parametrize(("pod", "size"), [("collector-1", 1234), ("collector-2", None), ("collector-3", None)])
def test_the_items_in_all_queues_of_a_pod_are_counted(
    client: kubernetes.client.ApiClient, pod: str, size: int | None
) -> None:
    assert queue_size(client, "tracing", pod) == size


def test_collectors_that_a_deployment_removes_are_named_and_full_queues_refuse_it(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = SmallStack(server, "shrinking")
    stack.deploy(stack.manifests("collector", collector={"replicas": 3}))
    fewer = stack.manifests("collector", collector={"replicas": 1})

    def check(manifests: list[Manifest], *, leave_queues: bool = False) -> list[str]:
        return check_queues(stack.client, stack.namespace, manifests, leave_queues=leave_queues)

    (line,) = check(fewer)  # no kubelet answers here, so the sizes of the queues are unknown
    assert line.startswith("collector-1, collector-2: will be removed.")
    assert "(data-collector-1, data-collector-2), which are kept" in line
    assert check(stack.manifests("collector", collector={"replicas": 3})) == []
    scaled = {"replicas": 1, "autoscaling": {"maxReplicas": 5}}
    assert check(stack.manifests("collector", collector=scaled)) == [], "an autoscaler keeps the number of pods"
    monkeypatch.setattr(queues, "queue_size", lambda *args: {"collector-2": 1234}.get(args[-1], 0))
    with pytest.raises(DeployError, match=r"not empty: collector-2 has 1,234 items.*--leave-queues"):
        check(fewer)
    assert check(fewer, leave_queues=True) == [line]
    assert stack.replicas() == 3
