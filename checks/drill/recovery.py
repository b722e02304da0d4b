"""Waits between two rounds until the stack is whole, so that what the next page shows has one cause."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import httpx

from stack.clients.prometheus import PrometheusClient
from stack.polling import CheckFailure

WHOLE_SECONDS: Final = 600.0
"""Limit of the wait: alerts look back for up to five minutes, and most fire for one or two minutes longer."""
STEADY_SECONDS: Final = 30.0
"""How long the stack must stay whole: metrics are 15 s late, and rules are evaluated every 5 s."""
LONG_ALERTS: Final = frozenset(
    {"Watchdog", "ErrorBudgetBurns", "ProbeRequestsFail", "PagesFail", "SpansMissing", "CrashLoop", "QueueSetAside"}
)
"""Alerts that look back for 10 minutes to three days, so a wait for their end has no use. `Watchdog` never ends."""
_LAG: Final = "sum(kafka_consumer_lag_messages)"
_EVERY_SECONDS: Final = 1.0


class Recovery:
    """What is left of a fault that was undone."""

    def __init__(
        self,
        prometheus: PrometheusClient,
        not_ready: Callable[[], Sequence[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepares the wait.

        Args:
            prometheus: of the stack.
            not_ready: a sentence for each pod that is not ready.
            clock: the present time in s.
            sleep: pauses for some seconds.
        """
        self._prometheus = prometheus
        self._not_ready = not_ready
        self._clock = clock
        self._sleep = sleep

    def wait(self, shows: Callable[[], bool], seconds: float = WHOLE_SECONDS) -> list[str]:
        """Waits until the stack is whole and stays so for STEADY_SECONDS.

        Args:
            shows: whether the evidence of the fault still shows.
            seconds: the limit.

        Returns:
            What is left at the limit; nothing if the stack is whole.
        """
        ends = self._clock() + seconds
        whole_since: float | None = None
        while True:
            remaining = self.remaining(shows)
            moment = self._clock()
            if remaining:
                whole_since = None
            elif whole_since is None:
                whole_since = moment
            if (whole_since is not None and moment >= whole_since + STEADY_SECONDS) or moment >= ends:
                return remaining
            self._sleep(_EVERY_SECONDS)

    def remaining(self, shows: Callable[[], bool]) -> list[str]:
        """A sentence for each sign that the stack is not whole."""
        try:
            remaining = [*self._not_ready(), *self._messages(), *self._alerts()]
            # Last, because it sends a request for a fault that only a trace shows.
            return remaining or (["the fault shows"] if shows() else [])
        except (httpx.HTTPError, CheckFailure) as error:
            return [f"Prometheus does not answer ({type(error).__name__})"]

    def _messages(self) -> list[str]:
        lag = self._prometheus.query(_LAG)
        if not lag:
            return ["the number of waiting messages is unknown"]
        return [f"{lag[0].value:.0f} messages wait"] if lag[0].value else []

    def _alerts(self) -> list[str]:
        alerts = {(alert["labels"]["alertname"], alert["state"]) for alert in self._prometheus.alerts()}
        return [f"alert {name} is {state}" for name, state in sorted(alerts) if name not in LONG_ALERTS]
