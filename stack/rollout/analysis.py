"""The analysis of a stage: measures both versions until the gate is passed or failed, or the time is over."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx
import kubernetes

from contracts import metadata
from contracts.errors import UserError
from stack.clients.prometheus import PrometheusClient
from stack.components.encryption.settings import STEPS
from stack.probe.request import own_page
from stack.release.plan import Step, Version
from stack.rollout import gate
from stack.rollout.gate import Finding, Verdict
from stack.rollout.judge import Judge
from stack.rollout.measurements import Window
from stack.rollout.probes import Probes
from stack.rollout.supply import Supply
from stack.rollout.traces import Difference, differences
from stack.settings import Settings
from stack.smoke.check import check
from stack.smoke.model import Report
from stack.stores import NO_TRACE_QUERIES, Stores

_PAUSE_SECONDS: Final = 5.0
_PROBE_SECONDS: Final = (1.0, 30.0)
_PROBES_PER_STAGE: Final = 30
_SUPPLY_SECONDS: Final = 60.0
"""After the soak, the rollout sends the requests that are missing within this time, if its rate allows."""
_STORED_SECONDS: Final = 45.0
"""As for the smoke check: the consumers of a group pause while another one joins it."""

OnProgress = Callable[[Step, float, float, Sequence[Finding]], None]
"""Called after each measurement of a stage with the step, the seconds so far, the shortest time, and the findings."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Analyses a stage on the running stack."""

    settings: Settings
    client: kubernetes.client.ApiClient
    require_lock: Callable[[], None]
    """Raises RolloutError if another rollout may be moving the pods."""
    judge: Judge
    """Has the evidence of the stages so far."""
    on_progress: OnProgress = lambda *_: None
    differences: dict[str, Sequence[Difference]] = field(default_factory=dict)
    """Title of a step → what differed in the traces of both versions, of its last analysis."""

    def __call__(self, step: Step, canary: Version) -> Sequence[Finding]:
        """Returns the last findings of a stage.

        Args:
            step: the step that the rollout is at.
            canary: the new version.

        Raises:
            DeployError: the pods cannot be reached.
            RolloutError: the lock was lost.
        """
        assert step.stage is not None
        shortest = float(step.stage.soak_seconds)
        longest = shortest + self.settings.rollout.gate.patience_seconds
        # Prometheus needs the time of the wall clock; the monotonic clock measures how long the stage lasts.
        start, started = time.time(), time.monotonic()
        self.judge.begin(is_last=step.stage.share == 1)
        smoke = self._smoke()
        if smoke.verdict is not Verdict.SUCCESSFUL:
            return [smoke]
        with contextlib.ExitStack() as forwards:
            prometheus = forwards.enter_context(self._stores().prometheus())
            gateways = self._gateways(step, forwards)
            probes = self._probes(step, canary, gateways, forwards)
            supply = forwards.enter_context(
                Supply(
                    gateways,
                    self.settings.rollout.gate.probes_per_second,
                    page=self._page(),
                    key=self._stores().stack_key(),
                ).run()
            )
            forwards.callback(self._compare_traces, step, probes)
            while True:
                self.require_lock()
                time.sleep(_PAUSE_SECONDS)
                seconds = time.monotonic() - started
                findings = [smoke, *self._measure(prometheus, step, canary, probes, (start, start + seconds))]
                supply.request(gate.missing(findings), max(shortest - seconds, _SUPPLY_SECONDS))
                self.on_progress(step, seconds, shortest, findings)
                verdict = gate.overall(findings)
                is_decided = verdict is Verdict.SUCCESSFUL and seconds >= shortest
                is_over = verdict is Verdict.FAILED or is_decided or seconds >= longest
                if verdict is Verdict.FAILED or (is_over and not is_decided and self._goes_back_undecided):
                    # The step to which the rollout goes back is judged by its own measurements.
                    self.judge.forget()
                if is_over:
                    return findings

    @property
    def _goes_back_undecided(self) -> bool:
        return self.settings.rollout.gate.undecided == "back"

    def _measure(
        self, prometheus: PrometheusClient, step: Step, canary: Version, probes: Probes | None, window: Window
    ) -> Sequence[Finding]:
        """Judges what Prometheus, the API server and the probes show."""
        measured = self.judge.measure(prometheus.query, window, step.compared, is_traced=canary.tracing.enabled)
        findings = [self._restarts(), *measured]
        if probes is not None:
            limits, stages = self.settings.rollout.gate, len(self.settings.rollout.stages)
            findings.append(gate.coverage(probes.whole, probes.missed, limits, stages, probes.query, probes.unanswered))
        return findings

    def _compare_traces(self, step: Step, probes: Probes | None) -> None:
        if probes is not None:
            probes.look_up_failed()
            self.differences[step.title] = differences(dict(probes.traces))

    def _smoke(self) -> Finding:
        try:
            report = check(self.settings)
        except (UserError, httpx.HTTPError) as error:
            return gate.problem("smoke check", str(error).partition("\n")[0])
        return smoke_finding(report)

    def _restarts(self) -> Finding:
        """Checks whether a container of the canary has restarted, after an error or because it ran out of memory."""
        selector = f"app.kubernetes.io/part-of={metadata.PART_OF},{metadata.TRACK}=canary"
        namespace = self.settings.cluster.namespace
        try:
            pods = kubernetes.client.CoreV1Api(self.client).list_namespaced_pod(
                namespace, label_selector=selector, _request_timeout=10
            )
        except Exception as error:  # any problem of the API server: it is not the canary's
            message = f"the API server does not answer: {type(error).__name__}"
            return gate.problem("restarts", message, Verdict.INCONCLUSIVE)
        restarts = [
            f"{pod.metadata.name}: {status.restart_count}"
            for pod in pods.items
            for status in pod.status.container_statuses or []
            if status.restart_count
        ]
        return Finding(
            check="restarts",
            verdict=Verdict.FAILED if restarts else Verdict.SUCCESSFUL,
            canary=", ".join(restarts) or f"none of {len(pods.items)} pods",
            baseline="",
            limit="none",
            query=f"kubectl -n {namespace} get pods -l {selector}",
        )

    def _stores(self) -> Stores:
        return Stores(settings=self.settings, client=self.client)

    def _page(self) -> str:
        return own_page(encrypted=STEPS[self.settings.encryption.services].speaks_tls)

    def _gateways(self, step: Step, forwards: contextlib.ExitStack) -> list[str]:
        """The gateways that are compared."""
        return [forwards.enter_context(self._stores().gateway(track)) for track in (step.compared, "canary")]

    def _probes(
        self, step: Step, canary: Version, gateways: Sequence[str], forwards: contextlib.ExitStack
    ) -> Probes | None:
        """Probes the gateways of both versions; None if the canary does not trace, or no trace can be looked up.

        Two of three probes begin at the canary: if its consumers have no partition, the others do not meet it at all.
        """
        assert step.stage is not None
        if not canary.tracing.enabled or not self.settings.traces.queried:
            return None
        sampling = self.settings.collector.sampling
        every, hurry = probe_pauses(step.stage.soak_seconds, self.settings.rollout.gate.probes_per_second)
        compared, of_canary = gateways
        probes = Probes(
            (of_canary, compared, of_canary),
            forwards.enter_context(self._stores().traces()),
            every=every,
            hurry=hurry,
            stored_seconds=_STORED_SECONDS + (2 * sampling.decision_wait_seconds if sampling else 0),
            page=self._page(),
            key=self._stores().stack_key(),
        )
        return forwards.enter_context(probes.run())


def probe_pauses(soak_seconds: float, largest_rate: float) -> tuple[float, float]:
    """Seconds between two probes of a stage, and the same once a trace is missed: not faster than the largest rate."""
    shortest, longest = _PROBE_SECONDS
    every = min(max(soak_seconds / _PROBES_PER_STAGE, shortest), longest)
    return every, min(every, max(shortest, 1 / largest_rate))


def smoke_finding(report: Report) -> Finding:
    """The finding of a smoke check that succeeded; it says if the trace was not checked."""
    if report.stored:
        canary, limit = f"{len(report.stored.hops)} hops, trace {report.trace_id}", "every hop of the edge table"
        query = f"GET {report.stored.query}"
    else:
        sent = ", ".join(f"{item.accepted} of the {item.program}" for item in report.acknowledged)
        canary = f"spans acknowledged: {sent}; no trace is checked: {NO_TRACE_QUERIES}"
        limit, query = "every accepted span", report.acknowledged[-1].query
    return Finding(
        check="smoke check", verdict=Verdict.SUCCESSFUL, canary=canary, baseline="", limit=limit, query=query
    )
