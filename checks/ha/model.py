"""The result of a row, and what it is judged by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

MAX_FAILED: Final = 0.001
"""Share of the requests of ten minutes that may fail."""
TEN_MINUTES: Final = 600.0
MAX_FAILING_SECONDS: Final = 10.0
"""The time in which requests may fail."""
MAX_ALERT_SECONDS: Final = 45.0
"""The time from a fault that users may notice to its alert."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The alerts of a fault."""

    needed: frozenset[str] = frozenset()
    """One of them must fire in time; none must if it is empty."""
    seconds: float = MAX_ALERT_SECONDS
    """The time from the fault to it."""
    allowed: frozenset[str] = frozenset()
    """Others that may fire, too."""


NONE: Final = Expected()


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured in one row."""

    row: str
    seconds: float
    """Of the window, which contains the fault."""
    tasks: int
    """Acknowledged tasks."""
    lost_tasks: int
    """Those that did not end."""
    spans: int
    """Acknowledged spans."""
    lost_spans: int
    searched_seconds: float
    """From the end of the window until all spans were found, or until the search for the lost ones ended."""
    rate: float
    """Requests per second."""
    requests: int
    failed: int
    failing_seconds: float
    """Time in which a request that failed was under way."""
    slowest_seconds: float
    """Longest time to an answer."""
    reasons: Mapping[str, int]
    """What failed → how often."""
    whole_seconds: float
    """From the end of the fault's cause until everything was whole; negative if it did not become so."""
    alerts: Mapping[str, float]
    """Alert → seconds from the fault until it fired."""
    task_errors: Mapping[str, int] = field(default_factory=dict)
    """Why a page was not crawled → how many tasks ended so."""
    expected: Expected = NONE
    note: str = ""

    @property
    def failed_share(self) -> float:
        """Share of the requests of ten minutes that failed: after a shorter window, none fails any more."""
        return self.failed / max(self.requests, self.rate * TEN_MINUTES)

    @property
    def alert(self) -> str | None:
        """The first alert that reported the fault."""
        fired = self.alerts.keys() & self.expected.needed
        return min(fired, key=lambda name: self.alerts[name], default=None)

    @property
    def other_alerts(self) -> list[str]:
        """All alerts but the one that reported the fault, in their order."""
        return sorted(self.alerts.keys() - {self.alert}, key=lambda name: self.alerts[name])

    @property
    def wrong_alerts(self) -> list[str]:
        """Alerts that should not have fired."""
        return sorted(self.alerts.keys() - self.expected.needed - self.expected.allowed)

    @property
    def problems(self) -> list[str]:
        """Why the row fails; empty if it does not."""
        return list(self._problems())

    def _problems(self) -> Iterable[str]:
        if self.lost_tasks:
            yield f"{self.lost_tasks} acknowledged tasks are lost"
        if self.task_errors:
            yield f"pages were not crawled: {failures_text(self.task_errors)}"
        if self.lost_spans:
            yield f"{self.lost_spans} acknowledged spans are lost"
        if not self.tasks or not self.spans:
            yield "nothing was acknowledged"
        if self.failed_share > MAX_FAILED:
            yield f"{self.failed_share:.2%} of the requests of ten minutes failed"
        if self.failing_seconds >= MAX_FAILING_SECONDS:
            yield f"requests failed during {self.failing_seconds:.0f} s"
        if self.whole_seconds < 0:
            yield "the stack did not become whole again"
        if self.expected.needed and (self.alert is None or self.alerts[self.alert] > self.expected.seconds):
            yield f"no alert after {self.expected.seconds:.0f} s: {', '.join(sorted(self.expected.needed))}"
        if self.wrong_alerts:
            yield f"other alerts: {', '.join(self.wrong_alerts)}"


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the time in which at least one of these intervals was open."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def failures_text(reasons: Mapping[str, int]) -> str:
    """Return the failures by their reason, the most frequent first."""
    ordered: Sequence[tuple[str, int]] = sorted(reasons.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason}: {count}" for reason, count in ordered) or "none"
