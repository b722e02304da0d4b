"""One release after another, while requests go on: what they met with, and whether their traces are whole."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from stack.rollout.probes import Probes
from stack.settings import load
from tests.detect.traffic import Traffic
from tests.smoke.check import TRACE_SECONDS, check
from tests.upgrade.data import Data, Stack
from tests.upgrade.release import Release

RATE: Final = 10.0
_EVERY_SECONDS: Final = 1.0
# A store that begins anew may take its time; the Collectors keep what is for it.
_FOUND_WITHIN: Final = 2 * TRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Change:
    """What came of one."""

    to: str
    seconds: float
    """That the deployment took."""
    requests: int
    failed: int
    """Answered with an error, or not at all."""
    whole: int
    """Requests acknowledged meanwhile whose trace has every hop."""
    broken: list[str]
    """The others of these, and what their traces lack."""
    lost: list[str]
    """What was there before the change and is not after it."""


def change(release: Release, data: Data) -> Change:
    """Deploys a release under traffic and looks at what was there before.

    Raises:
        UpgradeError: it could not be deployed.
        SmokeFailure: it does not work.
    """
    stack = Stack(load("local"))
    probes = Probes([stack.gateway], stack.store, every=_EVERY_SECONDS, found_within=_FOUND_WITHIN)
    with Traffic(stack.gateway, RATE, keep=False) as traffic:
        with probes.running():
            began = time.monotonic()
            release.deploy()
            seconds = time.monotonic() - began
            check(stack.settings)
        probes.settle()
    failed = sum(count for status, count in traffic.answers.items() if not status.isdigit() or status >= "500")
    return Change(
        to=release.name,
        seconds=seconds,
        requests=sum(traffic.answers.values()),
        failed=failed,
        whole=probes.whole,
        broken=list(probes.missed),
        lost=data.lost(stack),
    )
