"""The next round waits until pods are ready, no message waits and no alert is active that can end soon."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from checks.drill.recovery import LONG_ALERTS, STEADY_SECONDS, Recovery
from dashboards.rules.runbook import RUNBOOKS
from stack.clients.prometheus import PrometheusClient


class Stack:
    """A stack whose signs change with a clock that only the wait moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pods_until = self.lag_until = self.alert_until = self.shows_until = 0.0
        self.long_alerts: tuple[str, ...] = ()
        self.has_lag = True

    def recovery(self) -> Recovery:
        return Recovery(
            PrometheusClient("http://prometheus", self._get),
            lambda: ["pod kafka-0 is not ready"] if self.now < self.pods_until else [],
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def shows(self) -> bool:
        return self.now < self.shows_until

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _get(self, url: str, **_: Any) -> httpx.Response:
        lag = "200" if self.now < self.lag_until else "0"
        names = [*self.long_alerts, *(["RequestsSlow"] if self.now < self.alert_until else [])]
        series = [{"metric": {}, "value": [self.now, lag]}] if self.has_lag else []
        data: dict[str, Any] = (
            {"alerts": [{"labels": {"alertname": name}, "state": "firing"} for name in names]}
            if url.endswith("alerts")
            else {"resultType": "vector", "result": series}
        )
        return httpx.Response(200, json={"data": data}, request=httpx.Request("GET", url))


@pytest.mark.parametrize("sign", ["pods_until", "lag_until", "alert_until", "shows_until"])
def test_each_sign_delays_the_next_round(sign: str) -> None:
    stack = Stack()
    setattr(stack, sign, 100.0)
    assert stack.recovery().wait(stack.shows) == []
    assert stack.now == 100 + STEADY_SECONDS


def test_an_alert_that_looks_back_for_long_does_not_delay_it() -> None:
    stack = Stack()
    stack.long_alerts = tuple(LONG_ALERTS)
    assert stack.recovery().wait(stack.shows) == []
    assert stack.now == STEADY_SECONDS


def test_each_of_these_alerts_exists() -> None:
    assert [name for name in LONG_ALERTS if not (RUNBOOKS / f"{name}.md").is_file()] == []


def test_the_wait_has_a_limit_and_lists_what_is_left() -> None:
    stack = Stack()
    stack.lag_until = stack.alert_until = 1e9
    assert stack.recovery().wait(stack.shows, 120) == ["200 messages wait", "alert RequestsSlow is firing"]
    assert stack.now == 120


def test_an_unknown_lag_and_a_silent_prometheus_are_no_whole_stack() -> None:
    stack = Stack()
    stack.has_lag = False
    assert stack.recovery().remaining(stack.shows) == ["the number of waiting messages is unknown"]

    def fail(_: str, **__: Any) -> httpx.Response:
        raise httpx.ConnectError("refused")

    silent: Callable[..., httpx.Response] = fail
    recovery = Recovery(PrometheusClient("http://prometheus", silent), list)
    (sentence,) = recovery.remaining(stack.shows)
    assert sentence.startswith("Prometheus does not answer")
