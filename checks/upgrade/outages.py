"""The times in which a workload had no ready pod, and the requests that failed because of it."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from checks.harness.traffic import Failure
from lean_tracing.background import Loop

RECOVERY_SECONDS: Final = 5.0
"""After its pod is ready again, until its clients have connected."""
_PAUSE_SECONDS: Final = 0.25
_STOP_SECONDS: Final = 5.0
_logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Outage:
    """One time without a ready pod, in s since the epoch."""

    workload: str
    method: str
    """Of the requests that cannot succeed during the outage."""
    start: float
    end: float

    def explains(self, failure: Failure) -> bool:
        """Whether the request needs the workload, and ran during the outage or while clients connected again."""
        return (
            failure.method == self.method
            and failure.started.timestamp() <= self.end + RECOVERY_SECONDS
            and failure.time.timestamp() >= self.start
        )


class Outages:
    """Looks at workloads four times a second while its context is open."""

    def __init__(self, workloads: Mapping[str, str], has_ready_pod: Callable[[str], bool]) -> None:
        """Prepares to look.

        Args:
            workloads: name → the method of the requests that need it.
            has_ready_pod: looks at a workload; may raise.
        """
        self._workloads = workloads
        self._has_ready_pod = has_ready_pod
        self._current: dict[str, Outage] = {}
        self.all: list[Outage] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Looks in the background."""
        loop = Loop("outages", self.look, _logger)
        loop.start()
        try:
            yield
        finally:
            loop.stop(_STOP_SECONDS)

    def look(self) -> float:
        """Looks once; returns the seconds until the next look."""
        for workload, method in self._workloads.items():
            if self._has_ready_pod(workload):
                self._current.pop(workload, None)
                continue
            now = time.time()
            if workload not in self._current:
                outage = Outage(workload=workload, method=method, start=now - _PAUSE_SECONDS, end=now)
                self._current[workload] = outage
                self.all.append(outage)
            self._current[workload].end = now + _PAUSE_SECONDS
        return _PAUSE_SECONDS

    def causes(self, failures: Iterable[Failure]) -> Counter[str]:
        """Count the failures by the workload whose outage explains them; `""` counts the others."""
        return Counter(map(self.cause, failures))

    def cause(self, failure: Failure) -> str:
        """Return the workload whose outage explains a failure; empty without one."""
        return next((outage.workload for outage in self.all if outage.explains(failure)), "")

    def seconds(self, workload: str) -> float:
        """Return how long a workload had no ready pod."""
        return sum(outage.end - outage.start for outage in self.all if outage.workload == workload)
