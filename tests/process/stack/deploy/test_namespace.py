"""A stack deploys into its own namespace only. On a real API server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contracts.metadata import LOCAL_CONTEXT, PROJECT, STACK
from stack.deploy import deployment, destroy, drift, preflight
from stack.errors import DeployError
from stack.kubernetes.namespace import require_own_namespace
from stack.rollout import command as rollout
from stack.settings import OVERLAY, files
from tests.support.api_server import ApiServer
from tests.support.small_stack import IMAGE, SmallStack


@pytest.fixture
def stack(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStack:
    """Stack `test`, deployed, and the file of stack `other` that names the same namespace."""
    stack = SmallStack(server, "taken")
    stack.deploy(stack.manifests("collector-config"))
    monkeypatch.setattr(files, "ROOT", tmp_path)
    for name in ("test", "other"):
        config = {
            "environment": "test",
            "cluster": {
                "context": LOCAL_CONTEXT,
                "kubeconfig": str(server.kubeconfig),
                "namespace": stack.namespace,
            },
            "images": {"service": IMAGE},
        }
        document = {"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}
        (tmp_path / f"Pulumi.{name}.yaml").write_text(json.dumps(document))
    (tmp_path / ".local").mkdir()
    (tmp_path / OVERLAY).write_text("config: {}")
    return stack


COMMANDS: dict[str, Callable[[], Any]] = {
    "deploy": lambda: preflight.run_preflight("other", print),
    "require no rollout": lambda: deployment.require_no_rollout("other"),
    "rollout": lambda: rollout.run("other", Console()),
    "drift": lambda: drift.find_drift("other"),
    "destroy": lambda: destroy.destroy("other", lambda _: True, print, delete_data=True, limit=5),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_namespace_of_another_stack_is_refused_before_anything_is_changed(stack: SmallStack, command: str) -> None:
    versions = stack.versions()
    text = "namespace taken belongs to stack test, not to other: nothing was changed.*cluster.namespace` of its own"
    with pytest.raises(DeployError, match=text):
        COMMANDS[command]()
    assert stack.versions() == versions


def test_a_namespace_of_the_stack_itself_or_of_an_earlier_release_is_accepted(stack: SmallStack) -> None:
    require_own_namespace(stack.client, stack.namespace, "test")
    unmarked = {"metadata": {"annotations": {STACK: None}}}
    stack.core.patch_namespace(stack.namespace, unmarked)
    require_own_namespace(stack.client, stack.namespace, "other")
    stack.deploy(stack.manifests("collector-config"))
    assert stack.core.read_namespace(stack.namespace).metadata.annotations[STACK] == "test"
