"""The runner of a rollout on a fake cluster: to the end, back, and on after it was killed at any moment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from contracts.services import GATEWAY, SERVICES
from stack.components.services.settings import Release, Split
from stack.components.services.tracing import Tracing
from stack.errors import DeployError
from stack.release.journal import Journal, Phase
from stack.release.plan import Step, Version, plan_steps
from stack.rollout.gate import Finding, Verdict
from stack.rollout.runner import Runner
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
STABLE = Version(image="registry.example.com/service:1", tracing=Tracing())
CANARY = Version(image="registry.example.com/service:2", tracing=Tracing())
START = Journal(stable=STABLE, canary=CANARY, stage=1, passed=0, phase=Phase.PROGRESSING, since=0)


class Killed(BaseException):
    """As SIGKILL: the program runs no further."""


@dataclass
class FakeCluster:
    """A cluster that makes each change at once, and can kill the program at any moment."""

    verdicts: Callable[[Step, int], Verdict] = lambda step, analysis: Verdict.SUCCESSFUL
    breaks: Callable[[Release | None], bool] = lambda release: False
    splits: dict[str, Split] = field(default_factory=lambda: dict.fromkeys(SERVICES, Split(stable=3)))
    images: tuple[str, str | None] = (STABLE.image, None)
    journal: Journal | None = None
    actions: int = 0
    dies_at: int | None = None
    fewest: int = 3
    analyses: dict[int, int] = field(default_factory=dict)
    moves: list[str] = field(default_factory=list)

    def _act(self) -> None:
        self.actions += 1
        if self.actions == self.dies_at:
            raise Killed

    def pods(self) -> Mapping[str, Split]:
        return dict(self.splits)

    def is_reachable(self) -> bool:
        return True

    def deploy(self, release: Release | None) -> None:
        self._act()
        if self.breaks(release):
            raise DeployError("gateway-canary: cannot start")
        if release is None:
            self.splits = dict.fromkeys(SERVICES, Split(stable=3))
            self.images = (CANARY.image, None)
        else:
            self.splits = release.splits
            self.images = (release.image, CANARY.image if release.gateway.canary else None)
        split = self.splits[GATEWAY]
        self.moves.append(f"{split.stable}+{split.baseline}+{split.canary}")
        self.fewest = min(self.fewest, split.total)
        self._act()

    def analyze(self, step: Step, canary: Version) -> Sequence[Finding]:
        self._act()
        self.analyses[step.number] = self.analyses.get(step.number, 0) + 1
        verdict = self.verdicts(step, self.analyses[step.number])
        return [Finding(check="errors", verdict=verdict, canary="9 of 10", baseline="0 of 10", limit="")]

    def write(self, journal: Journal) -> None:
        self._act()
        # Through JSON, as the real store does.
        self.journal = Journal.load(journal.dump())
        self._act()

    def delete(self) -> None:
        self.journal = None
        self._act()

    def runner(self) -> Runner:
        return Runner(
            steps=plan_steps(SETTINGS),
            cluster=self,
            deploy=self.deploy,
            analyze=self.analyze,
            journals=self,
            require_lock=lambda: None,
            on_progress=lambda _: None,
        )


def test_a_successful_version_goes_to_the_end_and_never_has_fewer_pods() -> None:
    cluster = FakeCluster()
    assert cluster.runner().run(START) is None
    assert cluster.images == (CANARY.image, None)
    assert cluster.journal is None
    assert cluster.fewest == 3
    # At most two deployments a step: pods are added before others are removed.
    assert cluster.moves == ["3+3+1", "0+3+1", "0+3+2", "0+2+2", "0+2+3", "0+1+3", "3+0+0"]


def test_a_failed_first_stage_leaves_only_the_stable_version() -> None:
    cluster = FakeCluster(verdicts=lambda step, analysis: Verdict.FAILED)
    failed = cluster.runner().run(START)
    assert failed is not None
    assert (failed.phase, failed.reason) == (Phase.DEGRADED, "stage 1, 25%: errors: 9 of 10")
    assert cluster.images == (STABLE.image, None)
    # The pods of the new version end before others start.
    assert cluster.moves == ["3+3+1", "0+3+1", "0+3+0", "3+3+0", "3+0+0"]
    assert cluster.journal == failed, "the journal refuses a deployment of the failed version"


def test_a_later_stage_goes_back_to_the_last_successful_one_if_it_is_successful_again() -> None:
    cluster = FakeCluster(verdicts=lambda step, analysis: Verdict.FAILED if step.number == 2 else Verdict.SUCCESSFUL)
    paused = cluster.runner().run(START)
    assert paused is not None
    assert (paused.phase, paused.stage, paused.passed) == (Phase.PAUSED, 1, 1)
    assert cluster.splits[GATEWAY] == Split(stable=0, baseline=3, canary=1)


def test_a_stage_that_is_not_successful_again_is_left_as_well() -> None:
    cluster = FakeCluster(
        verdicts=lambda step, analysis: Verdict.FAILED if step.number == 2 or analysis > 1 else Verdict.SUCCESSFUL
    )
    failed = cluster.runner().run(START)
    assert failed is not None
    assert failed.phase is Phase.DEGRADED
    assert cluster.images == (STABLE.image, None)


def test_an_undecided_stage_is_held_and_the_next_run_continues_there_with_the_evidence() -> None:
    cluster = FakeCluster(
        verdicts=lambda step, analysis: (
            Verdict.INCONCLUSIVE if (step.number, analysis) == (2, 1) else Verdict.SUCCESSFUL
        )
    )
    held = replace(cluster.runner(), dump_evidence=lambda: {"errors": {"total": 1}}).run(START)
    assert held is not None
    assert (held.phase, held.stage, held.passed, held.is_held) == (Phase.PAUSED, 2, 1, True)
    assert held.reason == "stage 2, 50%: errors: 9 of 10 (inconclusive)"
    assert cluster.splits[GATEWAY] == Split(stable=0, baseline=2, canary=2)
    assert cluster.journal == held
    assert held.evidence == {"errors": {"total": 1}}
    assert cluster.runner().run(held.enter(Phase.PROGRESSING, stage=held.passed + 1)) is None


def test_the_settings_say_what_follows_from_an_undecided_stage() -> None:
    cluster = FakeCluster(verdicts=lambda step, analysis: Verdict.INCONCLUSIVE)
    assert replace(cluster.runner(), undecided="continue").run(START) is None
    cluster = FakeCluster(verdicts=lambda step, analysis: Verdict.INCONCLUSIVE)
    failed = replace(cluster.runner(), undecided="back").run(START)
    assert failed is not None
    assert failed.phase is Phase.DEGRADED
    assert failed.reason.endswith("(inconclusive)")
    assert not failed.is_held


def test_pods_that_do_not_start_fail_the_version() -> None:
    cluster = FakeCluster(breaks=lambda release: release is not None and release.gateway.canary > 0)
    failed = cluster.runner().run(START)
    assert failed is not None
    assert "cannot start" in failed.reason
    assert cluster.images == (STABLE.image, None)


@pytest.mark.parametrize("failed_stage", [None, 1, 2, 3])
def test_killed_at_any_moment_and_run_again_it_comes_to_the_same_end(failed_stage: int | None) -> None:
    def verdict(step: Step, analysis: int) -> Verdict:
        return Verdict.FAILED if step.number == failed_stage else Verdict.SUCCESSFUL

    whole = FakeCluster(verdicts=verdict)
    end = whole.runner().run(START)
    for moment in range(1, whole.actions + 1):
        cluster = FakeCluster(verdicts=verdict, dies_at=moment)
        with pytest.raises(Killed):
            cluster.runner().run(START)
        # The rollout moves no pod before the journal is written; without a journal, the next run starts a rollout.
        assert cluster.journal is not None or cluster.images[1] is None
        if cluster.journal is None and cluster.images[0] == CANARY.image:
            continue
        again = cluster.runner().run(cluster.journal or START)
        assert (again and again.phase) == (end and end.phase), moment
        assert (cluster.splits, cluster.images) == (whole.splits, whole.images), moment
        assert cluster.fewest == 3, moment


def test_an_abort_goes_back_from_every_moment() -> None:
    for moment in range(3, 20):
        cluster = FakeCluster(dies_at=moment)
        with pytest.raises(Killed):
            cluster.runner().run(START)
        if cluster.journal is None:
            continue
        cluster.runner().abort(cluster.journal)
        assert cluster.images == (STABLE.image, None)
        assert cluster.journal is None
