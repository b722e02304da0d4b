"""The result of span accounting."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Count:
    """The spans of a stage within the window."""

    stage: str
    title: str
    spans: int
    restarts: int
    """Counters that started at 0 within the window."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The spans that went into a leg and did not come out, within the window."""

    leg: str
    title: str
    waiting: int
    """Growth of the number of waiting spans; negative if fewer wait at the end."""
    missing: int
    """Spans that came in and neither went out, nor wait, nor were given up; negative if more went out."""
    tolerated: int
    """The most that scrapes at different moments and stopped processes can account for."""
    lost: bool


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """All stages and legs within a window."""

    end: float
    """End of the window, in s since the epoch."""
    seconds: float
    counts: list[Count]
    differences: list[Difference]
    stopped_processes: int = 0
    """Processes on the way that stopped. The spans that they counted after their last scrape are unknown."""
    route_changed_at: float | None = None
    """The last time at which spans took another route than the settings declare, in s since the epoch; None if they
    always took this route. The route changes when samplers are switched on or off. The spans of a window with such a
    change cannot be accounted for."""

    @property
    def is_lost(self) -> bool:
        """Whether spans are missing in a leg."""
        return self.route_changed_at is None and any(item.lost for item in self.differences)

    @property
    def tolerated(self) -> int:
        """The largest tolerance of a leg, in spans."""
        return max((item.tolerated for item in self.differences), default=0)

    def to_json(self) -> dict[str, Any]:
        """The result as it is printed with `--json`."""
        return {
            "at": self.end,
            "seconds": self.seconds,
            "counts": [asdict(count) for count in self.counts],
            "differences": [asdict(difference) for difference in self.differences],
            "ended": self.stopped_processes,
            "other_way_until": self.route_changed_at,
            "lost": self.is_lost,
        }
