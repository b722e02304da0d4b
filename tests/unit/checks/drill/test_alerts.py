"""The watch notes the alerts that begin while it is open, with their time relative to the page."""

import time
from typing import Any

import httpx

from checks.drill.alerts import AlertWatch
from stack.clients.prometheus import PrometheusClient
from stack.polling import poll_until

OLD = ("LagGrows", "firing")
WATCHDOG = ("Watchdog", "firing")


def test_alerts_that_begin_are_noted_and_older_ones_are_listed_apart() -> None:
    active = [WATCHDOG, OLD]

    def get(url: str, **_: Any) -> httpx.Response:
        alerts = [{"labels": {"alertname": name}, "state": state} for name, state in active]
        return httpx.Response(200, json={"data": {"alerts": alerts}}, request=httpx.Request("GET", url))

    with AlertWatch(PrometheusClient("http://prometheus", get)) as watch:
        active.append(("DependencyDown", "pending"))
        poll_until("the alert", lambda: watch.events(0))
        page = time.monotonic()
        active.append(("DependencyDown", "firing"))
        poll_until("the second state", lambda: len(watch.events(page)) == 2)
    assert watch.previous == ("alert LagGrows is firing",)
    pending, firing = watch.events(page)
    assert pending.text == "alert DependencyDown is pending"
    assert pending.seconds < 0
    assert firing.text == "alert DependencyDown is firing"
    assert firing.seconds >= 0
