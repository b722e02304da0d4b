"""The walk of a rollout over a fake cluster: to the end, back, and on after it was killed at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from stack.components.services.settings import Release, Split
from stack.components.services.tracing import Tracing
from stack.components.services.versions import NAMES, Service
from stack.errors import DeployError
from stack.release.journal import Journal
from stack.release.plan import Step, Version, steps
from stack.rollout.gate import Finding, Verdict
from stack.rollout.run import Walk
from stack.rollout.soak import Window
from stack.settings import PROJECT, Settings, parse

SETTINGS: Settings = parse(
    {
        f"{PROJECT}:environment": "test",
        f"{PROJECT}:cluster": {"context": "c"},
        f"{PROJECT}:images": {"service": "registry.example.com/service:2"},
        f"{PROJECT}:services": {key: {"replicas": 3} for key in ("gateway", "taskManager", "crawler")},
        f"{PROJECT}:rollout": {"stages": [{"share": 0.25}, {"share": 0.5}, {"share": 1}]},
    },
    "test",
)
BEFORE = Version(image="registry.example.com/service:1", tracing=Tracing())
AFTER = Version(image="registry.example.com/service:2", tracing=Tracing())
START = Journal(before=BEFORE, after=AFTER, stage=1, good=0, phase="moving", since=0, beside=(0, 1))


class Killed(BaseException):
    """As SIGKILL: nothing of the program runs any more."""


@dataclass
class World:
    """A cluster that does at once what it is asked for, and can be left at any moment."""

    verdicts: Callable[[Step, int], Verdict] = lambda step, look: Verdict.GOOD
    breaks: Callable[[Release | None], bool] = lambda release: False
    there: dict[Service, Split] = field(default_factory=lambda: dict.fromkeys(NAMES, Split(baseline=3, canary=0)))
    images: tuple[str, str | None] = (BEFORE.image, None)
    journal: Journal | None = None
    actions: int = 0
    dies_at: int | None = None
    fewest: int = 3
    looks: dict[int, int] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)

    def _act(self) -> None:
        self.actions += 1
        if self.actions == self.dies_at:
            raise Killed

    def pods(self) -> Mapping[Service, Split]:
        return dict(self.there)

    def answers(self) -> bool:
        return True

    def deploy(self, release: Release | None) -> None:
        self._act()
        if self.breaks(release):
            raise DeployError("gateway-canary: cannot start")
        if release is None:
            self.there = dict.fromkeys(NAMES, Split(baseline=3, canary=0))
            self.images = (AFTER.image, None)
        else:
            self.there = {"gateway": release.gateway, "task_manager": release.task_manager, "crawler": release.crawler}
            self.images = (release.image, AFTER.image if release.gateway.canary else None)
        split = self.there["gateway"]
        self.moved.append(f"{split.baseline}+{split.canary}")
        self.fewest = min(self.fewest, split.baseline + split.canary)
        self._act()

    def soak(self, step: Step, after: Version, beside: Window) -> Sequence[Finding]:
        self._act()
        self.looks[step.number] = self.looks.get(step.number, 0) + 1
        verdict = self.verdicts(step, self.looks[step.number])
        return [Finding(gate="errors", verdict=verdict, canary="9 of 10", baseline="0 of 10", limit="")]

    def write(self, journal: Journal) -> None:
        self._act()
        # As the real one does, so that nothing is kept that JSON does not carry.
        self.journal = Journal.load(journal.dump())
        self._act()

    def forget(self) -> None:
        self.journal = None
        self._act()

    def walk(self) -> Walk:
        return Walk(
            steps=steps(SETTINGS),
            cluster=self,
            deploy=self.deploy,
            soak=self.soak,
            store=self,
            may_go_on=lambda: None,
            say=lambda _: None,
        )


def test_all_good_goes_to_the_end_and_never_has_fewer_pods() -> None:
    world = World()
    assert world.walk().forward(START) is None
    assert world.images == (AFTER.image, None)
    assert world.journal is None
    assert world.fewest == 3
    # Twice at most for each step: what is more comes before what is fewer goes.
    assert world.moved == ["3+1", "3+2", "2+2", "2+3", "0+3", "3+0"]


def test_a_bad_first_stage_leaves_only_the_old_version() -> None:
    world = World(verdicts=lambda step, look: Verdict.BAD)
    failed = world.walk().forward(START)
    assert failed is not None
    assert (failed.phase, failed.reason) == ("failed", "stage 1, 25%: errors: 9 of 10")
    assert world.images == (BEFORE.image, None)
    assert world.journal == failed, "so that it is not deployed by accident"


def test_a_later_stage_goes_back_to_the_last_good_one_if_that_is_still_good() -> None:
    world = World(verdicts=lambda step, look: Verdict.BAD if step.number == 2 else Verdict.GOOD)
    held = world.walk().forward(START)
    assert held is not None
    assert (held.phase, held.stage, held.good) == ("held", 1, 1)
    assert world.there["gateway"] == Split(baseline=3, canary=1)


def test_a_stage_that_is_not_good_any_more_is_left_as_well() -> None:
    world = World(verdicts=lambda step, look: Verdict.BAD if step.number == 2 or look > 1 else Verdict.GOOD)
    failed = world.walk().forward(START)
    assert failed is not None
    assert failed.phase == "failed"
    assert world.images == (BEFORE.image, None)


def test_too_little_traffic_is_no_reason_to_go_on() -> None:
    world = World(verdicts=lambda step, look: Verdict.OPEN)
    failed = world.walk().forward(START)
    assert failed is not None
    assert failed.reason.endswith("which says too little")


def test_pods_that_do_not_start_are_a_bad_version() -> None:
    world = World(breaks=lambda release: release is not None and release.gateway.canary > 0)
    failed = world.walk().forward(START)
    assert failed is not None
    assert "cannot start" in failed.reason
    assert world.images == (BEFORE.image, None)


@pytest.mark.parametrize("bad_stage", [None, 1, 2, 3])
def test_killed_at_any_moment_and_run_again_it_comes_to_the_same_end(bad_stage: int | None) -> None:
    def verdict(step: Step, look: int) -> Verdict:
        return Verdict.BAD if step.number == bad_stage else Verdict.GOOD

    whole = World(verdicts=verdict)
    end = whole.walk().forward(START)
    for moment in range(1, whole.actions + 1):
        world = World(verdicts=verdict, dies_at=moment)
        with pytest.raises(Killed):
            world.walk().forward(START)
        # What is not written is not begun: whoever comes next starts anew.
        assert world.journal is not None or world.images[1] is None
        if world.journal is None and world.images[0] == AFTER.image:
            continue
        again = world.walk().forward(world.journal or START)
        assert (again and again.phase) == (end and end.phase), moment
        assert (world.there, world.images) == (whole.there, whole.images), moment
        assert world.fewest == 3, moment


def test_asked_to_go_back_it_does_from_everywhere() -> None:
    for moment in range(3, 20):
        world = World(dies_at=moment)
        with pytest.raises(Killed):
            world.walk().forward(START)
        if world.journal is None:
            continue
        world.walk().back(world.journal)
        assert world.images == (BEFORE.image, None)
        assert world.journal is None


def test_the_last_stage_is_compared_with_when_the_old_version_had_pods() -> None:
    asked: dict[int, Any] = {}
    world = World()
    walk = world.walk()
    look = walk.soak

    def soak(step: Step, after: Version, beside: Window) -> Sequence[Finding]:
        asked[step.number] = beside
        return look(step, after, beside)

    walk = replace(walk, soak=soak)
    walk.forward(START)
    assert asked[1] == (0, 1)
    assert asked[3][0] > 1, "the second stage's time, not that before the rollout"
