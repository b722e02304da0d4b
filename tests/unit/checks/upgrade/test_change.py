"""Requests that fail in an upgrade count, unless an outage of what the stack has once explains them."""

import io
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from checks.harness.traffic import Failure
from checks.upgrade.change import Change, show
from checks.upgrade.outages import RECOVERY_SECONDS, Outages

START = time.time()
GOOD = Change(
    title="to this one",
    seconds=60,
    requests=3000,
    failures={"kafka": 120, "postgres": 0},
    outages={"kafka": 24.0, "postgres": 0.0},
    unexplained=[],
    whole=29,
    broken=[],
    lost=[],
)


def failure(method: str, seconds: float, took: float = 0.0) -> Failure:
    """A request that began so many seconds after the start."""
    begin = START + seconds
    return Failure(
        method=method,
        started=datetime.fromtimestamp(begin, UTC),
        time=datetime.fromtimestamp(begin + took, UTC),
        reason="503",
    )


@pytest.fixture
def outages(monkeypatch: pytest.MonkeyPatch) -> Outages:
    """Kafka has no ready pod from the 10th to the 20th second, Postgres from the 15th to the 16th."""
    without_pod = {"kafka": (10.0, 20.0), "postgres": (15.0, 16.0)}
    now = [0.0]
    outages = Outages(
        {"kafka": "POST", "postgres": "GET"},
        lambda workload: not without_pod[workload][0] <= now[0] < without_pod[workload][1],
    )
    monkeypatch.setattr("checks.upgrade.outages.time.time", lambda: START + now[0])
    for quarter in range(120):
        now[0] = quarter / 4
        outages.look()
    return outages


@pytest.mark.parametrize(
    ("failed", "cause"),
    [
        (failure("POST", 15), "kafka"),
        (failure("POST", 6, took=5), "kafka"),
        (failure("POST", 20 + RECOVERY_SECONDS - 1), "kafka"),
        (failure("POST", 20 + RECOVERY_SECONDS + 1), ""),
        (failure("POST", 5), ""),
        (failure("GET", 15.5), "postgres"),
        (failure("GET", 12), ""),
    ],
)
def test_an_outage_explains_the_requests_that_need_the_workload_at_that_time(
    failed: Failure, cause: str, outages: Outages
) -> None:
    assert outages.cause(failed) == cause


def test_the_length_of_outages_is_measured(outages: Outages) -> None:
    assert outages.seconds("kafka") == pytest.approx(10, abs=0.5)
    assert outages.seconds("postgres") == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize(
    ("change", "is_available"),
    [
        (GOOD, True),
        (replace(GOOD, unexplained=[failure("GET", 1)] * 3), True),
        (replace(GOOD, unexplained=[failure("GET", 1)] * 4), False),
        (replace(GOOD, requests=500, unexplained=[failure("GET", 1)]), True),
        (replace(GOOD, requests=500, unexplained=[failure("GET", 1)] * 2), False),
        (replace(GOOD, outages={"kafka": 61.0, "postgres": 0.0}), False),
    ],
)
def test_a_thousandth_of_the_requests_may_fail_otherwise(change: Change, is_available: bool) -> None:
    assert change.is_available is is_available
    printed = io.StringIO()
    assert show("Upgrade", [change], Console(file=printed, width=400)) is is_available
    assert f"120 in {change.outages['kafka']:.0f} s without kafka" in printed.getvalue()
