"""A context that cannot be used is reported with what to do."""

from pathlib import Path

import pytest
import yaml

from contracts.metadata import LOCAL_CONTEXT
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.kubernetes.settings import Cluster


@pytest.mark.parametrize(
    ("context", "text"),
    [
        (LOCAL_CONTEXT, r"'local' of .* cannot be used: .*\. Run `make up` first"),
        ("theirs", r"'theirs' of .* cannot be used: .*\. `kubectl config get-contexts` lists the contexts"),
    ],
)
def test_a_context_that_the_kubeconfig_does_not_have_is_named(tmp_path: Path, context: str, text: str) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "contexts": [], "current-context": ""}))
    with pytest.raises(DeployError, match=text):
        connect(Cluster(context=context, kubeconfig=str(kubeconfig)))


def test_a_cluster_that_does_not_exist_here_is_named() -> None:
    with pytest.raises(DeployError, match=r"of /nonexistent/kubeconfig cannot be used: .*Run `make up` first"):
        connect(Cluster(context=LOCAL_CONTEXT, kubeconfig="/nonexistent/kubeconfig"))
