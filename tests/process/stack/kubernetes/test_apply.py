"""Server-side apply without a cluster that answers; the other tests of it run on an API server or the cluster."""

import kubernetes
import pytest

from checks.harness.ports import free_port
from stack.errors import DeployError
from stack.kubernetes.apply import apply


def test_a_cluster_that_stops_answering_is_named_with_what_to_do() -> None:
    client = kubernetes.client.ApiClient(kubernetes.client.Configuration(host=f"http://127.0.0.1:{free_port()}"))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nowhere"}}
    with pytest.raises(DeployError, match=r"stopped answering.*Deploy again"):
        apply(client, "nowhere", [namespace], lambda _: None)
