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
        self._started = time.monotonic()
        self.events: list[Event] = []
        """In s since the context was opened."""

    def __enter__(self) -> "AlertWatch":
        self._known = self._states()
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _states(self) -> set[str]:
        with contextlib.suppress(httpx.HTTPError):
            return {f"alert {alert['labels']['alertname']} is {alert['state']}" for alert in self._prometheus.alerts()}
        return set()

    def _watch(self) -> None:
        while not self._ended.wait(1):
            seconds = time.monotonic() - self._started
            for text in sorted(self._states() - self._known):
                if _WATCHDOG not in text:
                    self.events.append(Event(seconds=seconds, text=text))
                self._known.add(text)
