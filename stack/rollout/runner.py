"""The runner of a rollout: moves the pods to each step, analyses it, and continues or rolls back.

It writes the journal before each move, so that a run that is interrupted at any moment can be continued.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from stack.components.services.settings import Release, Split
from stack.errors import DeployError
from stack.release.journal import Journal, Phase
from stack.release.plan import Step, Version, surge
from stack.rollout import gate
from stack.rollout.gate import Finding, Verdict
from stack.rollout.report import StepResult

Deploy = Callable[[Release | None], None]
"""Deploys the stack with a release; None is the version of the settings alone."""
Analyze = Callable[[Step, Version], Sequence[Finding]]
"""Analyses a step, as `Analysis.__call__` does: the step, the canary → the findings."""


class Cluster(Protocol):
    """The state of the cluster that the runner reads."""

    def pods(self) -> Mapping[str, Split]:
        """Returns the declared pods of each deployed service, by version."""

    def is_reachable(self) -> bool:
        """Returns whether the API server answers."""


class Journals(Protocol):
    """Stores the journal."""

    def write(self, journal: Journal) -> None:
        """Returns once the next run can read the journal."""

    def delete(self) -> None:
        """Deletes the journal: the rollout is over."""


@dataclass(kw_only=True)
class Runner:
    """One run of a rollout."""

    steps: Sequence[Step]
    cluster: Cluster
    deploy: Deploy
    analyze: Analyze
    journals: Journals
    require_lock: Callable[[], None]
    """Raises RolloutError if another rollout may be moving the pods."""
    on_progress: Callable[[str], None]
    undecided: Literal["hold", "continue", "back"] = "hold"
    """What follows from an analysis that stays inconclusive."""
    dump_evidence: Callable[[], Mapping[str, Any]] = dict
    """Returns the evidence about the canary so far, for the journal."""
    results: list[StepResult] = field(default_factory=list)
    _deployed: Release | None = None
    """The release that this run deployed last, if its pods became ready."""

    def run(self, journal: Journal) -> Journal | None:
        """Continues a rollout from its journal to its end.

        Returns:
            None if all traffic has the new version. Otherwise the journal of the rollout that was rolled back, to the
            last successful step or to the stable version, or that is held at an undecided step.

        Raises:
            RolloutError: the lock was lost.
            DeployError: the cluster cannot be changed; the next run continues from the journal.
        """
        while journal.phase is Phase.PROGRESSING:
            journal = self._advance(journal)
        if journal.phase is Phase.ROLLING_BACK:
            return self._roll_back(journal)
        if journal.phase is Phase.PROMOTING:
            self._promote()
            return None
        return journal

    def abort(self, journal: Journal) -> None:
        """Moves all pods back to the stable version, from any step, and deletes the journal."""
        self._move(journal.enter(Phase.ROLLING_BACK, reason="aborted"), self.steps[0])
        self.journals.delete()

    def _advance(self, journal: Journal) -> Journal:
        """Moves to the journal's step and analyses it; returns the journal of what follows from the result."""
        step = self.steps[journal.stage]
        self.on_progress(f"moving to {step.title}: {_describe(step.splits)}")
        try:
            self._move(journal, step)
            result = self._analyze(journal, step)
        except DeployError as error:
            # If the API server answers, the pods of the new version do not start: that is a result as well.
            if not self.cluster.is_reachable():
                raise
            result = self._note_failed_start(journal, step, str(error))
        reason = f"{step.title}: {gate.reason(result.findings)}"
        is_undecided = result.verdict is Verdict.INCONCLUSIVE
        if result.verdict is Verdict.FAILED or (is_undecided and self.undecided == "back"):
            return journal.enter(Phase.ROLLING_BACK, reason=reason, evidence={})
        journal = replace(journal, evidence=self.dump_evidence())
        if is_undecided and self.undecided == "hold":
            return self._write(journal.enter(Phase.PAUSED, reason=reason))
        if is_undecided:
            self.on_progress(f"undecided, continuing: {reason}")
        if step.number == self.steps[-1].number:
            return self._write(journal.enter(Phase.PROMOTING, passed=step.number))
        return journal.enter(Phase.PROGRESSING, passed=step.number, stage=step.number + 1)

    def _roll_back(self, journal: Journal) -> Journal:
        """Moves back to the last step that is successful again, or to the stable version."""
        self.on_progress(f"rolling back: {journal.reason}")
        for step in reversed(self.steps[: journal.passed + 1]):
            self.on_progress(f"moving back to {step.title}")
            journal = journal.enter(Phase.ROLLING_BACK, stage=step.number, passed=step.number)
            self._move(journal, step)
            if step.stage is None:
                break
            result = self._analyze(journal, step)
            if result.verdict is Verdict.SUCCESSFUL:
                return self._write(journal.enter(Phase.PAUSED, passed=step.number))
        return self._write(journal.enter(Phase.DEGRADED, stage=0, passed=0))

    def _promote(self) -> None:
        self.on_progress("all traffic has the new version; pods under the name of the stable one take it over")
        self.require_lock()
        self.deploy(None)
        self.journals.delete()

    def _analyze(self, journal: Journal, step: Step) -> StepResult:
        self.require_lock()
        start = time.time()
        findings = self.analyze(step, journal.canary)
        result = StepResult(title=step.title, start=start, end=time.time(), findings=findings)
        self.results.append(result)
        return result

    def _note_failed_start(self, journal: Journal, step: Step, message: str) -> StepResult:
        findings = [gate.problem("pods of the new version", message)]
        result = StepResult(
            title=step.title, start=journal.since, end=time.time(), findings=findings, outcome="did not start"
        )
        self.results.append(result)
        return result

    def _move(self, journal: Journal, step: Step) -> None:
        """Adds pods before it removes others, so that the capacity never drops.

        On the way back, the pods of the new version end first, if those of the stable version are as many as before the
        rollout: new pods take some seconds to start.
        """
        self._write(journal)
        release = step.release(journal.stable)
        pods = self.cluster.pods()
        present = replace(step, splits={name: pods.get(name, split) for name, split in step.splits.items()})
        if journal.phase is Phase.ROLLING_BACK and _carries_all(present, step):
            present = replace(present, splits={name: _without_canary(it) for name, it in present.splits.items()})
            self._deploy(release.with_splits(present.splits))
            self.require_lock()
        transition = surge(step, present)
        if transition != step.splits:
            self._deploy(release.with_splits(transition))
            self.require_lock()
        self._deploy(release)

    def _deploy(self, release: Release) -> None:
        """Deploys a release, unless this run has just deployed the same: then its pods are there, and ready."""
        if release == self._deployed:
            return
        self._deployed = None
        self.deploy(release)
        self._deployed = release

    def _write(self, journal: Journal) -> Journal:
        self.require_lock()
        self.journals.write(journal)
        return journal


def _carries_all(present: Step, target: Step) -> bool:
    """Whether the pods of the stable version alone are as many as all pods of a step without canaries."""
    return all(
        not split.canary and present.splits[name].stable + present.splits[name].baseline >= split.total
        for name, split in target.splits.items()
    )


def _without_canary(split: Split) -> Split:
    return Split(stable=split.stable, baseline=split.baseline)


def _describe(splits: Mapping[str, Split]) -> str:
    return ", ".join(f"{name} {split.stable} + {split.baseline} + {split.canary}" for name, split in splits.items())
