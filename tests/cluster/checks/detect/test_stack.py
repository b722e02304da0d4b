"""Faults on the local stack: an alert reports each in time."""

import pytest
from rich.console import Console

from checks.chaos.cluster import LocalCluster
from checks.detect.command import detect, watch
from checks.detect.run import Run
from checks.faults.catalogue import faults
from stack.settings import load


@pytest.mark.nightly  # `tests/cluster/stack/probe` shows an alert on the same Prometheus, promtool all of them
def test_hard_failures_are_detected_in_time() -> None:
    cluster = LocalCluster(load("local"))
    known = faults(cluster.store)
    # The trace store is independent of the services. Without the database, the crawler would get no tasks.
    groups = (("crawler-failing", "store-down"), ("postgres-down",))
    results = Run(cluster, print).faults(
        [{name: known[name] for name in group} for group in groups], rate=10, warm_up=15
    )
    assert [result.fault for result in results] == ["crawler-failing", "store-down", "postgres-down"]
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
