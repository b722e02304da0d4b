"""Some of the faults of `make detect` on the local stack: each is detected in time."""

from checks.chaos.cluster import LocalCluster
from checks.detect.run import Run
from checks.faults.catalogue import faults
from stack.settings import load


def test_hard_failures_are_detected_in_time() -> None:
    cluster = LocalCluster(load("local"))
    known = faults(cluster.store)
    names = ("crawler-failing", "store-down", "postgres-down")
    results = Run(cluster, print).faults([(name, known[name]) for name in names], rate=10)
    assert [result.fault for result in results] == list(names)
    for result in results:
        assert result.is_in_time, result
