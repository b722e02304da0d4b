"""On a cluster of three nodes: a node is killed under load, and nothing that was acknowledged is lost."""

import pytest
from rich.console import Console

from checks.ha.command import ha
from local.cluster import Cluster


@pytest.mark.nightly
def test_a_killed_node_loses_nothing() -> None:
    if len(Cluster().nodes()) != 3:
        pytest.skip("the cluster has not three nodes: `make up NODES=3` makes one")
    (result,) = ha(Console(width=160), names=["node-killed-3"], minutes=3, outage=60, small=True)
    assert (result.lost_tasks, result.lost_spans) == (0, 0)
    assert result.tasks
    assert result.spans
