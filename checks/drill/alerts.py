"""Notes when alerts become pending or fire."""

import contextlib
import threading
import time
from typing import Final

import httpx

from checks.drill.session import Event
from stack.clients.prometheus import PrometheusClient

_WATCHDOG: Final = "Watchdog"


class AlertWatch:
    """Notes the alerts that become pending or fire while its context is open."""

    def __init__(self, prometheus: PrometheusClient) -> None:
        self._prometheus = prometheus
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._changes: list[tuple[float, str]] = []
        self.previous: tuple[str, ...] = ()
        """What was pending or firing when the context was opened."""

    def __enter__(self) -> "AlertWatch":
        self._known = self._states()
        self.previous = tuple(sorted(self._known))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def events(self, page: float) -> list[Event]:
        """What became pending or fired; before the page, which was sent at this monotonic time, in negative s."""
        return [Event(seconds=moment - page, text=text) for moment, text in self._changes]

    def _states(self) -> set[str]:
        with contextlib.suppress(httpx.HTTPError):
            alerts = [(alert["labels"]["alertname"], alert["state"]) for alert in self._prometheus.alerts()]
            return {f"alert {name} is {state}" for name, state in alerts if name != _WATCHDOG}
        return set()

    def _watch(self) -> None:
        while not self._ended.wait(1):
            for text in sorted(self._states() - self._known):
                self._changes.append((time.monotonic(), text))
                self._known.add(text)
