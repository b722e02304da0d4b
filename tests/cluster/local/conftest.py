"""The home of a cluster that a test brings up."""

import os
import sys
from collections.abc import Iterator

import pytest

from local.cluster import Cluster
from local.jobs import Progress
from local.paths import Home


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of its own that shares the compiled programs, so that no other cluster or image store changes."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux")
    if Cluster().was_up():
        pytest.skip("the local cluster is up, and there can be only one on a machine: `make down` first")
    home = Home(root=tmp_path_factory.mktemp("home"))
    Home.default().bin.mkdir(parents=True, exist_ok=True)
    home.bin.symlink_to(Home.default().bin)
    yield home
    Cluster(home).down(Progress("down", logs=home.logs))
