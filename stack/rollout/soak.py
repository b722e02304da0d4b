"""One stage, looked at until it is long enough and good, or bad, or nothing can be said of it in time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
import kubernetes

from contracts import endpoints, metadata
from dashboards.queries import MEMORY
from stack.clients.prometheus import Query, connect_prometheus
from stack.clients.traces import TraceStoreClient
from stack.errors import DeployError
from stack.kubernetes.port_forward import forward
from stack.polling import CheckFailure
from stack.release.plan import Step, Version
from stack.rollout import gate
from stack.rollout.gate import Finding, Sample, Verdict
from stack.rollout.observe import KINDS, SPANS, Observation, added, observe
from stack.rollout.probes import Probes
from stack.settings import Settings
from stack.smoke.check import check

_LOOK_SECONDS: Final = 5.0
_WARM_SECONDS: Final = 15.0
"""After which a new process' operations are timed; the first of each kind load and connect what they need."""
_PROBE_SECONDS: Final = (2.0, 30.0)
_PROBES_A_SOAK: Final = 30
_STORED_WITHIN: Final = 45.0
"""As the smoke check: consumers pause while one more joins them."""

Window = tuple[float, float]
"""Begin and end, in s since the epoch."""
Told = Callable[[Step, float, float, Sequence[Finding]], None]
"""Takes every look at a stage: the step, seconds at it, seconds that it takes at least, what was found."""


def fault(name: str, what: str, verdict: Verdict = Verdict.BAD) -> Finding:
    """What could not be looked at, or is plainly wrong."""
    return Finding(gate=name, verdict=verdict, canary=what, baseline="", limit="")


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Looks at the running stack."""

    settings: Settings
    client: kubernetes.client.ApiClient
    may_go_on: Callable[[], None]
    """Raises where the rollout has to stop, as it stands."""
    told: Told = lambda *_: None

    def __call__(self, step: Step, after: Version, beside: Window) -> Sequence[Finding]:
        """The last look at a step.

        Args:
            step: where the pods are.
            after: the new version.
            beside: when the old version had pods last; what it is compared with where it has none now.

        Raises:
            DeployError: the pods cannot be reached.
        """
        assert step.stage is not None
        # Prometheus is asked by the wall clock; how long it lasts is measured by one that nobody sets.
        began, started = time.time(), time.monotonic()
        smoke = self._smoke()
        if smoke.verdict is not Verdict.GOOD:
            return [smoke]
        shortest = float(step.stage.soak_seconds)
        longest = shortest + self.settings.rollout.gate.patience_seconds
        namespace = self.settings.cluster.namespace
        with connect_prometheus(self.client, namespace) as prometheus, self._probes(step, after) as probes:
            while True:
                self.may_go_on()
                time.sleep(_LOOK_SECONDS)
                seconds = time.monotonic() - started
                try:
                    canary = _observe(prometheus.query, (began, began + seconds))
                    old = canary if step.splits["gateway"].baseline else _observe(prometheus.query, beside)
                except httpx.HTTPError as error:
                    findings = [fault("Prometheus", f"cannot be asked: {error}", Verdict.OPEN)]
                else:
                    findings = [smoke, self._pods(), *self._judge(canary, old, seconds)]
                    if probes is not None:
                        limits = self.settings.rollout.gate
                        findings += gate.spans(canary.spans, limits, SPANS)
                        findings.append(gate.coverage(probes.whole, probes.missed, limits, probes.query))
                self.told(step, seconds, shortest, findings)
                verdicts = {finding.verdict for finding in findings}
                decided = Verdict.OPEN not in verdicts and seconds >= shortest
                if Verdict.BAD in verdicts or decided or seconds >= longest:
                    return findings

    def _judge(self, new: Observation, old: Observation, seconds: float) -> Iterator[Finding]:
        limits = self.settings.rollout.gate
        canary, baseline = new.samples.get("canary", {}), old.samples.get("baseline", {})
        for kind in KINDS:
            for job in endpoints.SERVICES:
                key = f"{job}, {kind.name}"
                before, now = baseline.get(key, Sample()), canary.get(key, Sample())
                # Which operations there are, the old version shows; a consumer may have been given no partition.
                judged = now.operations >= limits.operations or job == endpoints.GATEWAY
                if before.operations < limits.operations or not judged:
                    if key == f"{endpoints.GATEWAY}, requests":
                        yield fault(f"errors, {key}", "not enough traffic yet", Verdict.OPEN)
                    continue
                yield gate.errors(key, now, before, limits, added(kind.failed, seconds, "job, track"))
                timed = added(kind.took, max(1.0, seconds - _WARM_SECONDS), "job, track, le")
                yield from gate.durations(key, now, before, limits, timed)
        yield from gate.memory(new.memory.get("canary", {}), old.memory.get("baseline", {}), limits, MEMORY)

    def _smoke(self) -> Finding:
        try:
            report = check(self.settings)
        except (CheckFailure, DeployError, httpx.HTTPError) as error:
            return fault("smoke check", str(error).partition("\n")[0])
        return Finding(
            gate="smoke check",
            verdict=Verdict.GOOD,
            canary=f"{len(report.hops)} hops, trace {report.trace_id}",
            baseline="",
            limit="every hop of the edge table",
            query=f"GET {report.query}",
        )

    def _pods(self) -> Finding:
        """Whether a container of the new version ended: out of memory, or by an error."""
        selector = f"app.kubernetes.io/part-of={metadata.PART_OF},{metadata.TRACK}=canary"
        namespace = self.settings.cluster.namespace
        try:
            pods = kubernetes.client.CoreV1Api(self.client).list_namespaced_pod(
                namespace, label_selector=selector, _request_timeout=10
            )
        except Exception as error:  # whatever it is, it says nothing of the new version
            return fault("restarts", f"the API server cannot be asked: {type(error).__name__}", Verdict.OPEN)
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

    @contextlib.contextmanager
    def _probes(self, step: Step, after: Version) -> Iterator[Probes | None]:
        """Probes of both versions' gateways; None where the new version does not trace."""
        assert step.stage is not None
        if not after.tracing.enabled:
            yield None
            return
        namespace, backend = self.settings.cluster.namespace, self.settings.traces.backend
        counts: Mapping[str, int] = step.splits["gateway"].model_dump()
        with contextlib.ExitStack() as opened:
            gateways = [
                opened.enter_context(
                    forward(self.client, namespace, endpoints.GATEWAY, endpoints.SERVICE_PORT, track=track)
                )
                for track, count in counts.items()
                if count
            ]
            store = opened.enter_context(forward(self.client, namespace, *endpoints.TRACE_QUERY[backend]))
            sampling = self.settings.collector.sampling
            probes = Probes(
                gateways,
                TraceStoreClient(backend, store),
                every=min(max(step.stage.soak_seconds / _PROBES_A_SOAK, _PROBE_SECONDS[0]), _PROBE_SECONDS[1]),
                found_within=_STORED_WITHIN + (2 * sampling.decision_wait_seconds if sampling else 0),
            )
            yield opened.enter_context(probes.running())


def _observe(ask: Query, window: Window) -> Observation:
    begin, end = window
    return observe(ask, since=begin, warm=begin + _WARM_SECONDS, now=end)
