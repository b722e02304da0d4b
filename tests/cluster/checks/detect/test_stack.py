"""Faults on the local stack: an alert reports each in time."""

import pytest
from rich.console import Console

from checks.chaos.cluster import LocalCluster
from checks.detect.command import detect, watch
from checks.detect.run import Run
from checks.faults.catalogue import faults
from stack.settings import load


def test_hard_failures_are_detected_in_time() -> None:
    cluster = LocalCluster(load("local"))
    known = faults(cluster.store)
    # Together: the trace store is independent of the services.
    names = ["crawler-failing", "store-down"]
    results = Run(cluster, print).faults([{name: known[name] for name in names}], rate=10, warm_up=15)
    assert [result.fault for result in results] == names
    for result in results:
        assert result.is_in_time, result


@pytest.mark.nightly
def test_every_fault_is_detected_in_time() -> None:
    """`make detect`: each fault alone, after a minute of normal traffic."""
    late = [result for result in detect(Console(width=140)) if not result.is_in_time]
    assert not late


@pytest.mark.nightly
def test_normal_traffic_raises_no_alert_for_25_minutes() -> None:
    assert watch(Console(width=140), 1500) == set()
