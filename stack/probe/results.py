"""The results of the proofs as metrics, with the trace of each result as its exemplar."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from contracts import metrics
from stack.probe.proof import Proof, Result, Verdict
from stack.probe.telemetry import Step

_USER_STEPS: Final = (Step.REQUEST, Step.TASK)
_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)


class Results:
    """The metrics of one probe, in a registry of its own."""

    def __init__(self, steps: Iterable[Step] = Step) -> None:
        """steps: those that each proof has."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._proofs = Counter(metrics.PROBE_PROOFS, "Proofs, by result.", (metrics.RESULT,), registry=self.registry)
        self._steps = Counter(
            metrics.PROBE_STEPS, "Steps of proofs, by result.", (metrics.STEP, metrics.RESULT), registry=self.registry
        )
        self._visible = Histogram(
            metrics.PROBE_VISIBLE,
            "Time from the completion of a task until its telemetry was visible.",
            (metrics.STEP,),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._complete = Histogram(
            metrics.PROBE_COMPLETE,
            "Time from the completion of a task until all of its telemetry was visible.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Create the series at 0, so that rate() sees the first increment.
        for verdict in Verdict:
            self._proofs.labels(verdict)
        for step in steps:
            for result in Result:
                self._steps.labels(step, result)
            if step not in _USER_STEPS:
                self._visible.labels(step)

    def add(self, proof: Proof) -> None:
        """Counts a proof."""
        exemplar = {"trace_id": proof.trace_id}
        for step in proof.steps:
            self._steps.labels(step.step, step.result).inc(exemplar=exemplar)
            if step.result is Result.OK and step.step not in _USER_STEPS:
                self._visible.labels(step.step).observe(step.seconds, exemplar)
        if proof.verdict is Verdict.COMPLETE:
            self._complete.observe(proof.complete_seconds, exemplar)
        # The last one, so that a reader of the metrics sees whole proofs.
        self._proofs.labels(proof.verdict).inc(exemplar=exemplar)
