"""On the local stack under load: a good change reaches all traffic, a version that fails is rolled back."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from checks.rollouts.command import check_rollouts, restore_stack
from checks.rollouts.scenario import GATE, changed_settings, run, start_rollout, wait_for
from checks.rollouts.versions import build
from local.jobs import Progress
from stack.kubernetes.client import connect
from stack.release.plan import desired_version, running_version
from stack.settings import ROOT, load

STAGES = [{"share": 0.5, "soakSeconds": 10}, {"share": 1, "soakSeconds": 10}]
# With less confidence than by default, some seconds have enough operations for a verdict. With the larger factor, the
# durations on a machine whose few cores carry the whole stack and its load do not fail a version by chance.
ROLLOUT = {"stages": STAGES, "maxPods": 2, "gate": {**GATE, "confidence": 0.8, "durationFactor": 3}}


@pytest.fixture(scope="module", autouse=True)
def _restored_stack() -> Iterator[None]:
    yield
    restore_stack()


def test_a_version_that_fails_goes_back_and_is_not_deployed_by_accident() -> None:
    previous = running_version(connect(load("local").cluster), load("local").cluster.namespace)
    image = build("errors", Progress("errors"))
    with changed_settings(images={"service": image}, rollout=ROLLOUT) as settings:
        outcome = run()
        assert outcome.code == 1, outcome.output
        assert running_version(connect(settings.cluster), settings.cluster.namespace) == previous
        assert "errors, gateway, requests" in outcome.output
        deployed = wait_for(_deploy())
        assert deployed[0] == 1
        assert "failed its rollout" in deployed[1]


def test_a_changed_tracing_goes_to_all_traffic_and_no_request_fails() -> None:
    """Also after a version that failed: the earlier rollout does not hinder this one.

    In one stage: with two pods of a service at most, a second one would have the same pods.
    """
    rollout = {**ROLLOUT, "stages": STAGES[-1:]}
    with changed_settings(tracing={"maxQueueSize": 4096}, rollout=rollout) as settings:
        plan = wait_for(start_rollout("--plan"))
        assert plan[0] == 0
        assert "tracing.maxQueueSize: 2048 → 4096" in plan[1]
        outcome = run()
        assert outcome.code == 0, outcome.output
        assert running_version(connect(settings.cluster), settings.cluster.namespace) == desired_version(settings)
        again = wait_for(start_rollout())
        assert (again[0], "nothing to roll out" in again[1]) == (0, True), again[1]
    assert not outcome.failures, outcome.output
    assert "| trace coverage | Successful |" in outcome.report


@pytest.mark.nightly
def test_every_version_ends_as_it_must() -> None:
    """`make rollouts`: a good version, each bad one, and a rollout that is killed."""
    assert check_rollouts(Console(width=140))


def _deploy() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "deploy", "local", "--no-smoke"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
