"""Notes when alerts become pending or fire."""

import contextlib
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from checks.drill.session import Event
from stack.clients.prometheus import PrometheusClient

_WATCHDOG: Final = "Watchdog"


@dataclass(frozen=True, kw_only=True)
class _Change:
    """An alert that became pending or fired."""

    moment: float
    """Monotonic time at which it was noted."""
    alert: str
    text: str
    active_since: datetime


class AlertWatch:
    """Notes the alerts that become pending or fire while its context is open."""

    def __init__(self, prometheus: PrometheusClient) -> None:
        self._prometheus = prometheus
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._changes: list[_Change] = []
        self._opened = 0.0
        self._opened_at = datetime.now(UTC)
        self.previous: tuple[str, ...] = ()
        """What was pending or firing when the context was opened."""

    def __enter__(self) -> "AlertWatch":
        self._opened, self._opened_at = time.monotonic(), datetime.now(UTC)
        self._known = set(self._states())
        self.previous = tuple(sorted(self._known))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def events(self, page: float) -> list[Event]:
        """What became pending or fired; before the page, which was sent at this monotonic time, in negative s."""
        return [Event(seconds=change.moment - page, text=change.text) for change in self._changes]

    def first(self, expected: Collection[str]) -> float | None:
        """After how many seconds since the opening the first of these alerts was noted; None if none was.

        An alert that was active before does not count, even if it begins to fire now.
        """
        times = [
            change.moment - self._opened
            for change in self._changes
            if change.alert in expected and change.active_since >= self._opened_at
        ]
        return min(times, default=None)

    def _states(self) -> dict[str, tuple[str, datetime]]:
        """By text: the alert, and since when the newest of its name and state is active."""
        states: dict[str, tuple[str, datetime]] = {}
        with contextlib.suppress(httpx.HTTPError):
            for alert in sorted(self._prometheus.alerts(), key=lambda alert: str(alert["activeAt"])):
                name, since = alert["labels"]["alertname"], datetime.fromisoformat(alert["activeAt"])
                if name != _WATCHDOG:
                    states[f"alert {name} is {alert['state']}"] = (name, since)
        return states

    def _watch(self) -> None:
        while not self._ended.wait(1):
            for text, (alert, since) in sorted(self._states().items()):
                if text not in self._known:
                    self._changes.append(_Change(moment=time.monotonic(), alert=alert, text=text, active_since=since))
                    self._known.add(text)
