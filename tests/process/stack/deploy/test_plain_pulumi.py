"""The checks before a plain `pulumi up`, in the process that the program starts under a real engine."""

import json
import subprocess
import sys

from contracts import secret_keys
from contracts.metadata import LOCAL_CONTEXT, PROJECT
from stack.settings import ROOT
from tests.support.api_server import ApiServer
from tests.support.small_stack import IMAGE, SmallStack


def test_plain_pulumi_is_refused_before_its_first_resource(server: ApiServer) -> None:
    stack = SmallStack(server, "plain")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    config = {
        "environment": "test",
        "cluster": {
            "context": LOCAL_CONTEXT,
            "kubeconfig": str(server.kubeconfig),
            "namespace": stack.namespace,
            "storageClass": "grows",
        },
        "images": {"service": IMAGE},
        "collector": {"queueVolume": "20Gi"},
    }
    request = {
        "stack": "test",
        "config": {
            f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in (config | {key: f"value-of-{key}" for key in secret_keys.GENERATED}).items()
        },
        "preview": True,
        "ask_cluster": True,
    }
    command = [sys.executable, "-m", "stack.deploy.plain_pulumi"]
    process = subprocess.run(command, input=json.dumps(request), text=True, capture_output=True, cwd=ROOT, timeout=60)
    assert process.returncode == 1
    assert "its volumes are to become larger (20Gi)" in process.stderr
    assert "`make deploy STACK=test` enlarges them" in process.stderr
    assert "Traceback" not in process.stderr
