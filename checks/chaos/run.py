"""One run: load and faults, then empty queues, then the ledger compared with the store."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import httpx

from checks.chaos.cluster import LocalCluster
from checks.chaos.faults import FAULTS
from checks.chaos.ledger import Ledger, read
from checks.chaos.load import Load
from checks.chaos.requests import Requests
from checks.chaos.verify import Verdict, verify
from contracts import endpoints, secret_keys
from stack.clients.traces import TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until

_RECOVERY_SECONDS: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """A fault and how long it lasts, where it has a duration."""

    fault: str
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Survived:
    """A fault that was injected."""

    fault: str
    seconds: float
    """Seconds from its beginning to the end of its cause."""
    recovery_seconds: float
    """Seconds from then until the load was no longer behind and the queues were as before."""
    queued: float
    """Spans in the queues at the end of its cause."""


@dataclass(kw_only=True)
class Result:
    """The result of a run."""

    verdict: Verdict
    survived: list[Survived]
    sent: int
    resent: int
    errors: dict[str, int]
    load_seconds: float
    verify_seconds: float
    seed: int


def due_at(steps: Sequence[Step], spans: int, rate: float) -> list[int]:
    """The number of spans after which each step starts, so that the steps are spread over the load."""
    fault_spans = sum(step.seconds for step in steps) * rate
    gap = max(0.0, spans - fault_spans) / (len(steps) + 1)
    due, position = [], 0.0
    for step in steps:
        position += gap
        due.append(min(spans, int(position)))
        position += step.seconds * rate
    return due


@dataclass(kw_only=True)
class Run:
    """A run on the local stack."""

    cluster: LocalCluster
    ledger: Path
    steps: Sequence[Step]
    spans: int
    rate: float
    seed: int
    on_progress: Callable[[str], None] = print
    on_acknowledged: Callable[[int], None] = lambda spans: None
    """Takes the number of acknowledged spans."""
    on_looked_up: Callable[[int], None] = lambda traces: None
    """Takes the number of traces that were looked up."""
    _survived: list[Survived] = field(default_factory=list)

    def run(self) -> Result:
        """Runs the faults under load, then looks up every acknowledged span.

        Raises:
            CheckFailure: the stack does not recover from a fault.
        """
        rng = Random(self.seed)
        requests = Requests(self.ledger.stem)
        settings = self.cluster.settings
        token = read_secret(connect(settings.cluster), self.cluster.namespace, secret_keys.SECRET).get(
            secret_keys.OTLP_TOKEN
        )
        target = f"{self.cluster.address(endpoints.COLLECTOR)}:{endpoints.OTLP_GRPC_PORT}"
        began = time.monotonic()
        with Ledger(self.ledger) as ledger:
            load = Load(requests, ledger, target, token, spans=self.spans, rate=self.rate)
            with load.running():
                self._steady(load, 30)
                for step, due in zip(self.steps, due_at(self.steps, self.spans, self.rate), strict=True):
                    self._until(load, due)
                    self._inject(step, rng, load)
                self._until(load, load.total)
        self._drain()
        load_seconds, began = time.monotonic() - began, time.monotonic()
        verdict = self._verify(requests)
        return Result(
            verdict=verdict,
            survived=self._survived,
            sent=load.spans,
            resent=load.resent,
            errors=load.errors,
            load_seconds=load_seconds,
            verify_seconds=time.monotonic() - began,
            seed=self.seed,
        )

    def _until(self, load: Load, spans: int) -> None:
        poll_until(
            f"{spans} spans to be acknowledged",
            lambda: self._watch(load) and load.spans >= spans,
            seconds=self.spans / self.rate + _RECOVERY_SECONDS,
            every=0.1,
            look_at=f"kubectl -n {self.cluster.namespace} logs -l app.kubernetes.io/name=collector",
        )

    def _watch(self, load: Load) -> bool:
        self.on_acknowledged(load.spans)
        return True

    def _inject(self, step: Step, rng: Random, load: Load) -> None:
        began = time.monotonic()
        FAULTS[step.fault](self.cluster, rng, step.seconds)
        seconds, queued = time.monotonic() - began, self._queued()
        recovery = self._steady(load, _RECOVERY_SECONDS)
        self._survived.append(
            Survived(fault=step.fault, seconds=seconds, recovery_seconds=recovery, queued=queued or 0.0)
        )
        self.on_progress(
            f"{step.fault}: {seconds:.0f} s, then {recovery:.1f} s to recover"
            f" ({load.spans} spans acknowledged, {load.resent} requests sent again)"
        )

    def _steady(self, load: Load, limit: float) -> float:
        """Waits until the load is not behind and few spans are queued; returns the seconds that it took."""
        began = time.monotonic()
        little = 2 * self.rate

        def is_steady() -> bool:
            self._watch(load)
            queued = self._queued()
            return load.behind <= little and queued is not None and queued <= little

        what = f"the load to be on time and less than {little:.0f} spans in the queues"
        look_at = f"kubectl -n {self.cluster.namespace} get pods"
        poll_until(what, is_steady, seconds=limit, every=0.5, look_at=look_at)
        return time.monotonic() - began

    def _drain(self) -> None:
        poll_until(
            "the Collectors' queues to be empty",
            lambda: self._queued() == 0,
            seconds=_RECOVERY_SECONDS,
            every=0.5,
            look_at=f"kubectl -n {self.cluster.namespace} logs -l app.kubernetes.io/name=collector",
        )

    def _queued(self) -> float | None:
        try:
            return self.cluster.queued()
        except httpx.HTTPError:
            return None

    def _verify(self, requests: Requests) -> Verdict:
        backend = self.cluster.settings.traces.backend
        name, port = endpoints.TRACE_QUERY[backend]
        with httpx.Client() as client:
            store = TraceStoreClient(backend, f"http://{self.cluster.address(name)}:{port}", client.get)
            return verify(requests, read(self.ledger), store.trace, self.on_looked_up)
