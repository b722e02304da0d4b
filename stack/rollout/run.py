"""The walk of a rollout: move, soak, and on, or back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import kubernetes

from contracts import endpoints
from stack.components.services.settings import Release, Split
from stack.components.services.versions import NAMES, Service
from stack.errors import DeployError
from stack.release.journal import Journal
from stack.release.plan import Step, Version, between
from stack.rollout.gate import Finding, Verdict
from stack.rollout.report import Passage
from stack.rollout.soak import Window, fault

Deploy = Callable[[Release | None], None]
"""Brings the stack to a release; None is the settings' own version alone."""
Look = Callable[[Step, Version, Window], Sequence[Finding]]
"""See `Soak.__call__`."""


class Cluster(Protocol):
    """What a walk asks of the cluster itself."""

    def pods(self) -> Mapping[Service, Split]:
        """Pods that are asked for of each service that is there, by version."""
        ...

    def answers(self) -> bool:
        """Whether it can be asked anything."""
        ...


class Journals(Protocol):
    """Where the journal is kept."""

    def write(self, journal: Journal) -> None:
        """Returns when it will be read by whoever comes next."""

    def forget(self) -> None:
        """The rollout is over."""


@dataclass(kw_only=True)
class Walk:
    """One run of a rollout."""

    steps: Sequence[Step]
    cluster: Cluster
    deploy: Deploy
    soak: Look
    store: Journals
    may_go_on: Callable[[], None]
    """Raises where another may have taken over."""
    say: Callable[[str], None]
    passages: list[Passage] = field(default_factory=list)

    def forward(self, journal: Journal) -> Journal | None:
        """From where the journal is to the end.

        Returns:
            None when all traffic has the new version, else the journal of what failed, with the old version (or the
            last good stage) back in place.

        Raises:
            RolloutError: the lock was lost.
            DeployError: the cluster does not take what it is asked for; the journal says where to go on from.
        """
        while journal.phase in ("moving", "soaking"):
            step = self.steps[journal.stage]
            self.say(f"to {step.title}: {_pods(step.splits)}")
            try:
                self._move(journal, step)
                journal, findings = self._at(journal.at("soaking", time.time()), step)
            except DeployError as error:
                # The new version's pods do not start: that is an answer, too.
                if not self.cluster.answers():
                    raise
                findings = [fault("pods of the new version", str(error))]
                self.passages.append(
                    Passage(
                        title=step.title,
                        began=journal.since,
                        ended=time.time(),
                        outcome="did not start",
                        findings=findings,
                    )
                )
            if why := _not_good(findings):
                journal = journal.at("returning", time.time(), reason=f"{step.title}: {why}")
            elif step.number == self.steps[-1].number:
                journal = self._note(journal.at("finishing", time.time(), good=step.number))
            else:
                journal = journal.at("moving", time.time(), good=step.number, stage=step.number + 1)
        if journal.phase == "returning":
            return self._back(journal)
        if journal.phase == "finishing":
            self.say("all traffic has the new version; pods under the old one's name take it over")
            self.may_go_on()
            self.deploy(None)
            self.store.forget()
            return None
        return journal

    def back(self, journal: Journal) -> None:
        """To the version before, whatever the stage; the rollout is forgotten."""
        self._move(journal.at("returning", time.time(), reason="asked for"), self.steps[0])
        self.store.forget()

    def _back(self, journal: Journal) -> Journal:
        """To the last stage whose gate is passed again, or to none."""
        self.say(f"not good: {journal.reason}")
        for step in reversed(self.steps[: journal.good + 1]):
            self.say(f"back to {step.title}")
            journal = journal.at("returning", time.time(), stage=step.number, good=step.number)
            self._move(journal, step)
            if step.stage is None:
                break
            journal, findings = self._at(journal, step)
            if not _not_good(findings):
                return self._note(journal.at("held", time.time(), good=step.number))
        return self._note(journal.at("failed", time.time(), stage=0, good=0))

    def _at(self, journal: Journal, step: Step) -> tuple[Journal, Sequence[Finding]]:
        """The last look at a step, and the journal with when both versions were there, if they were."""
        self._note(journal)
        began = time.time()
        findings = self.soak(step, journal.after, journal.beside)
        ended = time.time()
        good = "not good" if _not_good(findings) else "good"
        self.passages.append(Passage(title=step.title, began=began, ended=ended, outcome=good, findings=findings))
        return (replace(journal, beside=(began, ended)) if step.splits["gateway"].baseline else journal), findings

    def _note(self, journal: Journal) -> Journal:
        self.may_go_on()
        self.store.write(journal)
        return journal

    def _move(self, journal: Journal, step: Step) -> None:
        """First the pods that are more, then those that are fewer: none is missed by a request on the way.

        The journal is written before anything is moved.
        """
        self._note(journal)
        there = self.cluster.pods()
        release = step.release(journal.before)
        now = replace(step, splits={name: there.get(name, split) for name, split in step.splits.items()})
        more = between(step, now)
        if more != step.splits:
            self.deploy(release.model_copy(update=dict(more.items())))
            self.may_go_on()
        self.deploy(release)


@dataclass(frozen=True, kw_only=True)
class LiveCluster:
    """The cluster that a stack is in."""

    client: kubernetes.client.ApiClient
    namespace: str

    def pods(self) -> Mapping[Service, Split]:
        """See `Cluster`."""
        found = kubernetes.client.AppsV1Api(self.client).list_namespaced_deployment(self.namespace, _request_timeout=30)
        replicas = {item.metadata.name: item.spec.replicas or 0 for item in found.items}
        splits: dict[Service, Split] = {}
        for service, name in NAMES.items():
            baseline, canary = replicas.get(name, 0), replicas.get(endpoints.canary(name), 0)
            if baseline + canary:
                splits[service] = Split(baseline=baseline, canary=canary)
        return splits

    def answers(self) -> bool:
        """See `Cluster`."""
        try:
            kubernetes.client.VersionApi(self.client).get_code(_request_timeout=5)
        except Exception:  # whatever it is, the cluster does not answer
            return False
        return True


def _not_good(findings: Sequence[Finding]) -> str:
    """What is bad, else what too little is known of; empty if all is good."""
    bad = [finding for finding in findings if finding.verdict is Verdict.BAD]
    unknown = [finding for finding in findings if finding.verdict is Verdict.OPEN]
    return "; ".join(f"{finding.gate}: {finding.canary}" for finding in bad) or "; ".join(
        f"{finding.gate}: {finding.canary}, which says too little" for finding in unknown
    )


def _pods(splits: Mapping[Service, Split]) -> str:
    return ", ".join(f"{NAMES[name]} {split.baseline} + {split.canary}" for name, split in splits.items())
