"""One proof: sends a request as a user does, then looks for all of its telemetry at the same time."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

import httpx

from contracts.http import DEMO
from contracts.services import GATEWAY
from stack.polling import CheckFailure, poll_until
from stack.probe.calls import Calls
from stack.probe.request import PROBE, TaskFailed, accepted_task, completed_task, not_sampled, submit
from stack.probe.root import RootSpan
from stack.probe.telemetry import Awaited, SentRequest, Step, Telemetry

TASK_SECONDS: Final = 30.0
"""The time that a task may take, in s."""
STORE_SECONDS: Final = 5.0
"""The time that one answer of a store may take, in s."""
_PAUSE_SECONDS: Final = 1.0

T = TypeVar("T")


class Result(StrEnum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """An earlier step failed, so there is nothing to look for."""


class Verdict(StrEnum):
    """What a proof shows."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """The user was served, but not all telemetry was visible in time."""
    NO_TASK = "no_task"
    """The user was not served, so that nothing is known of the telemetry."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """How a step of one proof ended."""

    step: Step
    result: Result
    seconds: float = 0.0
    """For the telemetry: from the completion of the task until it was visible."""
    reason: str = ""
    """What a failed step waited for, and the last answer."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The results of one proof."""

    trace_id: str
    steps: tuple[StepResult, ...]

    @property
    def verdict(self) -> Verdict:
        """What the proof shows."""
        results = {step.step: step.result for step in self.steps}
        if results[Step.TASK] is not Result.OK:
            return Verdict.NO_TASK
        return Verdict.COMPLETE if set(results.values()) == {Result.OK} else Verdict.INCOMPLETE

    @property
    def complete_seconds(self) -> float:
        """The time until all telemetry was visible, in s."""
        return max(step.seconds for step in self.steps if step.step not in (Step.REQUEST, Step.TASK))

    @property
    def problems(self) -> list[str]:
        """A message for each failed step."""
        return [f"{step.step}: {step.reason}" for step in self.steps if step.result is Result.FAILED]


@dataclass(frozen=True, kw_only=True)
class Prover:
    """Makes proofs."""

    gateway: str
    """Its URL in the cluster, at which the crawler fetches the page, too."""
    key: str = ""
    """The probe's API key; empty if the gateway needs none."""
    client: httpx.Client
    telemetry: Telemetry
    sleep: Callable[[float], object] = time.sleep
    """Pauses; what it raises ends the proof."""
    task_seconds: float = TASK_SECONDS
    visible_seconds: float
    """The time within which telemetry must be visible after its task is completed, in s."""
    pause_seconds: float = _PAUSE_SECONDS

    def prove(self) -> Proof:
        """Sends a request and returns how each step ended."""
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        previous = self._calls()
        sent_at, started = time.time_ns(), time.monotonic()
        root = partial(RootSpan, trace_id=trace_id, span_id=span_id, caller=PROBE, started=sent_at)
        try:
            answer = submit(
                self.gateway,
                trace_id,
                span_id,
                page=f"{self.gateway}{DEMO}",
                caller=PROBE,
                post=self.client.post,
                key=self.key,
            )
            task_id = accepted_task(answer, trace_id, f"the logs of {GATEWAY}")
        except (httpx.HTTPError, CheckFailure, ValueError, KeyError) as error:  # the last two: not the gateway's JSON
            failed = StepResult(step=Step.REQUEST, result=Result.FAILED, reason=f"POST to {self.gateway}: {error!r}")
            self._send(root(ended=time.time_ns(), error=repr(error)))
            return Proof(trace_id=trace_id, steps=(failed, *_skipped(Step.TASK, *self._telemetry_steps())))
        accepted = StepResult(step=Step.REQUEST, result=Result.OK, seconds=time.monotonic() - started)
        root_span = root(ended=time.time_ns(), task_id=task_id)
        request = SentRequest(
            trace_id=trace_id,
            span_id=span_id,
            task_id=task_id,
            sent_at=sent_at / 1e9,
            root=root_span,
            is_root_accepted=self._send(root_span),
        )
        task = self._task(task_id)
        if task.result is Result.OK:
            steps = self._look(self.telemetry.steps(request, previous))
        else:
            steps = _skipped(*self._telemetry_steps())
        return Proof(trace_id=trace_id, steps=(accepted, task, *steps))

    def _send(self, root: RootSpan) -> bool:
        """Sends a root span at once, as the services send theirs; returns whether a Collector accepted it."""
        try:
            self.telemetry.collector.export(root)
        except httpx.HTTPError:
            return False
        return True

    def _telemetry_steps(self) -> list[Step]:
        user_steps = {Step.REQUEST, Step.TASK}
        return [step for step in Step if step not in user_steps and (step is not Step.LOGS or self.telemetry.loki)]

    def _calls(self) -> Calls | None:
        try:
            return self.telemetry.calls()
        except httpx.HTTPError:
            return None

    def _task(self, task_id: str) -> StepResult:
        """Waits until the task is completed. The requests are not sampled: each would be one more trace to store."""
        started = time.monotonic()
        headers = {"User-Agent": PROBE.user_agent}

        def is_completed() -> bool:
            # The first look comes later: until Kafka has delivered the task, the answer would be 404.
            self.sleep(self.pause_seconds)
            task = completed_task(
                self.gateway, task_id, get=self.client.get, key=self.key, headers=headers | not_sampled()
            )
            return task is not None

        what = f"task {task_id} to be completed"
        try:
            poll_until(what, is_completed, seconds=self.task_seconds, every=0, sleep=self.sleep)
        except (CheckFailure, TaskFailed, ValueError, KeyError) as error:  # the last two: not the gateway's JSON
            return StepResult(step=Step.TASK, result=Result.FAILED, reason=f"{what}: {error}")
        return StepResult(step=Step.TASK, result=Result.OK, seconds=time.monotonic() - started)

    def _look(self, steps: Mapping[Step, Awaited]) -> list[StepResult]:
        """Waits for all telemetry at the same time: a step that fails delays no other."""
        started = time.monotonic()
        results: dict[Step, StepResult] = {}

        def wait(step: Step, awaited: Awaited) -> None:
            results[step] = self._wait(step, awaited, started)

        threads = [
            threading.Thread(target=wait, args=item, name=item[0], daemon=True)  # a stop waits for none of them
            for item in steps.items()
        ]
        for thread in threads:
            thread.start()
        deadline = started + self.visible_seconds + 3 * STORE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.sleep(0)
        unfinished = "the step did not end"
        return [
            results.get(step, StepResult(step=step, result=Result.FAILED, reason=f"{unfinished}: {awaited.what}"))
            for step, awaited in steps.items()
        ]

    def _wait(self, step: Step, awaited: Awaited, started: float) -> StepResult:
        try:
            poll_until(
                awaited.what,
                awaited.holds,
                seconds=self.visible_seconds,
                every=self.pause_seconds,
                look_at=awaited.look_at,
                sleep=self.sleep,
            )
        except Exception as error:  # any error of one step: the others still have their results
            reason = str(error) if isinstance(error, CheckFailure) else f"{awaited.what}: {error!r}"
            return StepResult(step=step, result=Result.FAILED, reason=reason)
        return StepResult(step=step, result=Result.OK, seconds=time.monotonic() - started)


def _skipped(*steps: Step) -> list[StepResult]:
    return [StepResult(step=step, result=Result.SKIPPED) for step in steps]
