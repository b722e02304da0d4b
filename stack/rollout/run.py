"""The walk of a rollout: move, soak, judge; on, or back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx
import kubernetes

from stack import endpoints, meta
from stack.apply import DeployError
from stack.forward import forward
from stack.rollout import gate
from stack.rollout.gate import Finding, Sample, Verdict
from stack.rollout.journal import Journal, Lock, Store
from stack.rollout.observe import KINDS, MEMORY, SPANS, Observation, added, observe
from stack.rollout.plan import Step, Version, between
from stack.rollout.probes import Probes
from stack.rollout.report import Passage
from stack.services import NAMES, Service
from stack.settings import Release, Settings, Split
from tests.smoke.check import check
from tests.smoke.failure import SmokeFailure
from tests.smoke.traces import TraceStoreClient

_LOOK_SECONDS: Final = 5.0
_WARM_SECONDS: Final = 15.0
"""After which a new process' operations are timed; the first of each kind load and connect what they need."""
_PROBE_SECONDS: Final = (2.0, 30.0)
_PROBES_A_SOAK: Final = 30
_STORED_WITHIN: Final = 45.0
"""As the smoke check: consumers pause while one more joins them."""

Deploy = Callable[[Release | None], None]
"""Brings the stack to a release; None is the settings' own version alone."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The end of a soak."""

    findings: Sequence[Finding]
    baseline: Observation
    """What was seen last of the old version, for stages at which it has no pods."""

    @property
    def bad(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is Verdict.BAD]

    @property
    def open(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is Verdict.OPEN]


@dataclass(kw_only=True)
class Walk:
    """One run of a rollout."""

    settings: Settings
    client: kubernetes.client.ApiClient
    steps: Sequence[Step]
    deploy: Deploy
    store: Store
    lock: Lock
    say: Callable[[str], None]
    soaked: Callable[[Step, float, float, Sequence[Finding]], None] = lambda *_: None
    """Told of every look at a stage: the step, seconds at it, seconds that it takes at least, what was found."""
    passages: list[Passage] = field(default_factory=list)
    _baseline: Observation = field(default_factory=Observation)

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
            try:
                self._move(journal, step)
                journal = self._note(journal.at("soaking", time.time()))
                findings = self._soak(step, journal)
            except DeployError as error:
                # The new version's pods do not start: that is an answer, too.
                if not self._reachable():
                    raise
                findings = [_fault("pods of the new version", str(error))]
                self._passed(step, journal, findings)
            wrong = [finding for finding in findings if finding.verdict is not Verdict.GOOD]
            if wrong:
                bad = [finding for finding in wrong if finding.verdict is Verdict.BAD]
                reason = "; ".join(
                    f"{finding.gate}: {finding.canary}{'' if bad else ', which says too little'}"
                    for finding in bad or wrong
                )
                journal = self._note(journal.at("returning", time.time(), reason=f"{step.title}: {reason}"))
            elif step.number == self.steps[-1].number:
                journal = self._note(journal.at("finishing", time.time(), good=step.number))
            else:
                journal = self._note(journal.at("moving", time.time(), good=step.number, stage=step.number + 1))
        if journal.phase == "returning":
            return self._back(journal)
        if journal.phase == "finishing":
            self.say("all traffic has the new version; the old one's pods take it over")
            self._finish()
            self.store.forget()
            return None
        return journal

    def back(self, journal: Journal) -> None:
        """To the version before, whatever the stage; the rollout is forgotten."""
        self._to(self._note(journal.at("returning", time.time(), reason="asked for")), self.steps[0])
        self.store.forget()

    def _back(self, journal: Journal) -> Journal:
        """To the last stage whose gate is passed again, or to none."""
        self.say(f"not good: {journal.reason}")
        good = journal.good
        while True:
            step = self.steps[good]
            self.say(f"back to {step.title}")
            self._to(journal, step)
            if good == 0:
                return self._note(journal.at("failed", time.time(), stage=0, good=0))
            journal = self._note(journal.at("returning", time.time(), stage=good, good=good - 1))
            findings = self._soak(step, journal)
            if all(finding.verdict is Verdict.GOOD for finding in findings):
                return self._note(journal.at("held", time.time(), stage=good, good=good))
            good -= 1

    def _note(self, journal: Journal) -> Journal:
        self.lock.check()
        self.store.write(journal)
        return journal

    def _move(self, journal: Journal, step: Step) -> None:
        self.say(f"to {step.title}: {_pods(step.splits)}")
        self._to(journal, step)

    def _to(self, journal: Journal, step: Step) -> None:
        """First the pods that are more, then those that are fewer: none is missed by a request on the way."""
        now = self._present()
        release = step.release(journal.before)
        more = between(step, replace(step, splits={name: now.get(name, split) for name, split in step.splits.items()}))
        if more != step.splits:
            self.lock.check()
            self.deploy(release.model_copy(update=dict(more.items())))
        self.lock.check()
        self.deploy(release)

    def _finish(self) -> None:
        """The settings' version alone, in the Deployments that stay; the canary's go when these are ready."""
        self.lock.check()
        self.deploy(None)

    def _present(self) -> Mapping[Service, Split]:
        """Pods that there are of each service, by version."""
        found = kubernetes.client.AppsV1Api(self.client).list_namespaced_deployment(
            self.settings.cluster.namespace, _request_timeout=30
        )
        replicas = {item.metadata.name: item.spec.replicas or 0 for item in found.items}
        splits: dict[Service, Split] = {}
        for service, name in NAMES.items():
            baseline, canary = replicas.get(name, 0), replicas.get(endpoints.canary(name), 0)
            if baseline + canary:
                splits[service] = Split(baseline=baseline, canary=canary)
        return splits

    def _reachable(self) -> bool:
        try:
            kubernetes.client.VersionApi(self.client).get_code(_request_timeout=5)
        except Exception:
            return False
        return True

    def _soak(self, step: Step, journal: Journal) -> Sequence[Finding]:
        """Looks at a stage until it is long enough and good, or bad, or nothing can be said in time."""
        assert step.stage is not None
        began = time.time()
        shortest = float(step.stage.soak_seconds)
        longest = shortest + self.settings.rollout.gate.patience_seconds
        findings: Sequence[Finding] = [self._smoke()]
        if findings[0].verdict is Verdict.GOOD:
            with contextlib.ExitStack() as opened:
                probes, ask = self._open(opened, step, journal.after)
                while True:
                    self.lock.check()
                    time.sleep(_LOOK_SECONDS)
                    now = time.time()
                    try:
                        seen = observe(ask, since=began, warm=began + _WARM_SECONDS, now=now)
                    except httpx.HTTPError as error:
                        findings = [_fault("Prometheus", f"cannot be asked: {error}", Verdict.OPEN)]
                    else:
                        findings = self._judge(step, seen, probes, journal.after, now - began)
                    self.soaked(step, now - began, shortest, findings)
                    bad = any(finding.verdict is Verdict.BAD for finding in findings)
                    undecided = any(finding.verdict is Verdict.OPEN for finding in findings)
                    if bad or (now - began >= shortest and not undecided) or now - began >= longest:
                        break
        self._passed(step, replace(journal, since=began), findings)
        return findings

    def _passed(self, step: Step, journal: Journal, findings: Sequence[Finding]) -> None:
        good = all(finding.verdict is Verdict.GOOD for finding in findings)
        self.passages.append(
            Passage(
                title=step.title,
                began=journal.since,
                ended=time.time(),
                outcome="good" if good else "not good",
                findings=findings,
            )
        )

    @contextlib.contextmanager
    def _prometheus(self) -> Iterator[Callable[[str, float], Sequence[Any]]]:
        namespace = self.settings.cluster.namespace
        with (
            forward(self.client, namespace, endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT) as url,
            httpx.Client(base_url=url, timeout=20) as client,
        ):

            def ask(query: str, at: float) -> Sequence[Any]:
                answer = client.get("/api/v1/query", params={"query": query, "time": f"{at:.3f}"}).raise_for_status()
                found: Sequence[Any] = answer.json()["data"]["result"]
                return found

            yield ask

    def _open(
        self, opened: contextlib.ExitStack, step: Step, after: Version
    ) -> tuple[Probes | None, Callable[[str, float], Sequence[Any]]]:
        assert step.stage is not None
        namespace = self.settings.cluster.namespace
        ask = opened.enter_context(self._prometheus())
        if not after.tracing.enabled:
            return None, ask
        gateways = [
            opened.enter_context(
                forward(self.client, namespace, endpoints.GATEWAY, endpoints.SERVICE_PORT, track=track)
            )
            for track, count in (("canary", 1), ("baseline", step.splits["gateway"].baseline))
            if count
        ]
        backend = self.settings.traces.backend
        store = opened.enter_context(forward(self.client, namespace, *endpoints.TRACE_QUERY[backend]))
        sampling = self.settings.collector.sampling
        probes = Probes(
            gateways,
            TraceStoreClient(backend, store),
            every=min(max(step.stage.soak_seconds / _PROBES_A_SOAK, _PROBE_SECONDS[0]), _PROBE_SECONDS[1]),
            found_within=_STORED_WITHIN + (2 * sampling.decision_wait_seconds if sampling else 0),
        )
        return opened.enter_context(probes.running()), ask

    def _smoke(self) -> Finding:
        try:
            report = check(self.settings)
        except (SmokeFailure, DeployError, httpx.HTTPError) as error:
            return _fault("smoke check", str(error).partition("\n")[0])
        return Finding(
            gate="smoke check",
            verdict=Verdict.GOOD,
            canary=f"{len(report.hops)} hops, trace {report.trace_id}",
            baseline="",
            limit="every hop of the edge table",
            query=report.query,
        )

    def _judge(
        self, step: Step, seen: Observation, probes: Probes | None, after: Version, seconds: float
    ) -> Sequence[Finding]:
        if step.splits["gateway"].baseline:
            self._baseline = seen
        limits = self.settings.rollout.gate
        canary, baseline = seen.samples.get("canary", {}), self._baseline.samples.get("baseline", {})
        findings = [self._pods()]
        for kind in KINDS:
            for job in (endpoints.GATEWAY, endpoints.TASK_MANAGER, endpoints.CRAWLER):
                key = f"{job}, {kind.name}"
                # Which operations there are, the old version shows; a consumer without a partition has none.
                if baseline.get(key, Sample()).operations < limits.operations:
                    if key == f"{endpoints.GATEWAY}, {KINDS[0].name}":
                        findings.append(_fault(f"errors, {key}", "not enough traffic yet", Verdict.OPEN))
                    continue
                of_canary = canary.get(key, Sample())
                if job != endpoints.GATEWAY and of_canary.operations < limits.operations:
                    continue
                findings.append(
                    gate.errors(key, of_canary, baseline[key], limits, added(kind.failed, seconds, "job, track"))
                )
                query = added(kind.took, max(1.0, seconds - _WARM_SECONDS), "job, track, le")
                findings += gate.durations(key, of_canary, baseline[key], limits, query)
        findings += gate.memory(
            seen.memory.get("canary", {}), self._baseline.memory.get("baseline", {}), limits, MEMORY
        )
        if after.tracing.enabled and probes is not None:
            findings += gate.spans(seen.spans, limits, SPANS)
            findings.append(gate.coverage(probes.whole, probes.missed, limits, probes.query))
        return findings

    def _pods(self) -> Finding:
        """Whether a container of the new version ended: out of memory, or by an error."""
        selector = f"app.kubernetes.io/part-of={meta.PART_OF},{meta.TRACK}=canary"
        namespace = self.settings.cluster.namespace
        try:
            pods = kubernetes.client.CoreV1Api(self.client).list_namespaced_pod(
                namespace, label_selector=selector, _request_timeout=10
            )
        except Exception as error:
            return _fault("restarts", f"the API server cannot be asked: {type(error).__name__}", Verdict.OPEN)
        restarted = [
            f"{pod.metadata.name}: {status.restart_count}"
            for pod in pods.items
            for status in pod.status.container_statuses or []
            if status.restart_count
        ]
        return Finding(
            gate="restarts",
            verdict=Verdict.BAD if restarted else Verdict.GOOD,
            canary=", ".join(restarted) or f"none of {len(pods.items)} pods",
            baseline="",
            limit="none",
            query=f"kubectl -n {namespace} get pods -l {selector}",
        )


def _fault(name: str, what: str, verdict: Verdict = Verdict.BAD) -> Finding:
    return Finding(gate=name, verdict=verdict, canary=what, baseline="", limit="")


def _pods(splits: Mapping[Service, Split]) -> str:
    return ", ".join(f"{name} {split.baseline} + {split.canary}" for name, split in splits.items())
