"""Watches the alerts that an engineer is notified of during a row."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import httpx

from checks.detect.run import Alerts
from lean_tracing.background import Loop
from stack.clients.http import Get, QueryError, get_json
from stack.clients.prometheus import PrometheusClient

ANSWER_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 1.0
_ACTIVE: Final = "/api/v2/alerts?active=true&inhibited=false&silenced=false"
_logger = logging.getLogger(__name__)


class AlertWatch:
    """Notes when alerts that became active after its start fire in any Prometheus and are not inhibited."""

    def __init__(
        self,
        prometheuses: Callable[[], Iterable[PrometheusClient]],
        alertmanagers: Callable[[], Iterable[str]],
        get: Get = httpx.get,
    ) -> None:
        """
        Args:
            prometheuses: returns those that are ready.
            alertmanagers: returns the URLs of those that are ready.
            get: asks an Alertmanager.
        """
        self._prometheuses = prometheuses
        self._alertmanagers = alertmanagers
        self._get = get
        self._since = datetime.now(UTC)
        self._started = time.monotonic()
        self.seconds: dict[str, float] = {}
        """Alert → seconds from the start of the fault."""

    def start(self) -> None:
        """The fault begins."""
        self._since, self._started = datetime.now(UTC), time.monotonic()
        self.seconds.clear()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks once a second."""
        loop = Loop("alerts", self.look, _logger)
        loop.start()
        try:
            yield
        finally:
            loop.stop(10)

    def look(self) -> float:
        """Looks once, and returns the pause until the next time, in s."""
        firing: set[str] = set()
        for prometheus in self._prometheuses():
            with contextlib.suppress(QueryError):  # a pod that does not answer: the other one is asked
                firing |= Alerts(prometheus).names("firing", since=self._since)
        if firing:
            for name in firing & self._notified():
                self.seconds.setdefault(name, time.monotonic() - self._started)
        return _PAUSE_SECONDS

    def _notified(self) -> set[str]:
        """The names of the alerts that an Alertmanager has and does not inhibit."""
        names: set[str] = set()
        for url in self._alertmanagers():
            with contextlib.suppress(QueryError):
                answer = get_json(self._get, url + _ACTIVE, seconds=ANSWER_SECONDS)
                names |= {alert["labels"]["alertname"] for alert in answer}
        return names
