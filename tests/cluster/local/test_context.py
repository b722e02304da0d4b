"""`make up CONTEXT=…`: a user without root brings the stack up on a cluster that others own.

The cluster is the local one under another name. The user has no rights on the machine: its user namespace maps no
other user, and it has neither the home nor the programs of the local cluster.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from local.cluster import Cluster
from stack.settings import OVERLAY, PROJECT, ROOT
from tests.support.clone import copy_checkout

CONTEXT = "theirs"


@pytest.fixture(autouse=True)
def cluster() -> None:
    # The tests of the life cycle run without the cluster, and bring up one of their own.
    if not Cluster().was_up():
        pytest.skip("the local cluster is down")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Another clone, with the back ends that this machine has."""
    clone = tmp_path / "clone"
    copy_checkout(clone)
    overlay = yaml.safe_load((ROOT / OVERLAY).read_text())["config"]
    file = clone / "Pulumi.local.yaml"
    document = yaml.safe_load(file.read_text())
    own = {key: value for key, value in overlay.items() if key not in (f"{PROJECT}:cluster", f"{PROJECT}:images")}
    document["config"] |= own
    file.write_text(yaml.safe_dump(document))
    return clone


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """The user's kubeconfig, in which the cluster has another name."""
    document = yaml.safe_load(Cluster().kubeconfig().read_text())
    document["contexts"][0]["name"] = document["current-context"] = CONTEXT
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_user_without_root_uses_a_cluster_that_others_own(clone: Path, kubeconfig: Path, tmp_path: Path) -> None:
    image = yaml.safe_load((ROOT / OVERLAY).read_text())["config"][f"{PROJECT}:images"]["service"]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "WEB_CRAWL_TRACING_HOME": str(tmp_path / "home"),
        "KUBECONFIG": str(kubeconfig),
    }

    def wct(*arguments: str) -> str:
        command = ("unshare", "--user", "--map-user=1000", sys.executable, "-m", "cli", *arguments)
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    output = wct("up", "--context", CONTEXT, "--image", image)
    assert f"using context {CONTEXT}: you named it" in output
    assert "11 of 11 hops" in output
    assert f"KUBECONFIG={clone / '.local/cluster/kubeconfig'}" in output

    # The next commands know the cluster by themselves.
    assert f"would use context {CONTEXT}: the last `make up` used it" in wct("doctor")
    assert "node1            ready" in wct("status")
