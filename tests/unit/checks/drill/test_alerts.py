"""The watch notes the alerts that begin while it is open, with their time relative to the page."""

import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from checks.drill.alerts import AlertWatch
from stack.clients.prometheus import PrometheusClient
from stack.polling import poll_until

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD = ("LagGrows", "firing", BEGAN)
WATCHDOG = ("Watchdog", "firing", BEGAN)
PENDING = ("MessagesWait", "pending", BEGAN)


def test_alerts_that_begin_are_noted_and_older_ones_are_listed_apart() -> None:
    active = [WATCHDOG, OLD, PENDING]

    def get(url: str, **_: Any) -> httpx.Response:
        alerts = [
            {"labels": {"alertname": name}, "state": state, "activeAt": since.isoformat()}
            for name, state, since in active
        ]
        return httpx.Response(200, json={"data": {"alerts": alerts}}, request=httpx.Request("GET", url))

    opened = time.monotonic()
    with AlertWatch(PrometheusClient("http://prometheus", get)) as watch:
        active.append(("DependencyDown", "pending", datetime.now(UTC)))
        poll_until("the alert", lambda: watch.events(0))
        page = time.monotonic()
        active.append(("DependencyDown", "firing", datetime.now(UTC)))
        active.append(("MessagesWait", "firing", BEGAN))
        poll_until("the second state", lambda: len(watch.events(page)) == 3)
    assert watch.previous == ("alert LagGrows is firing", "alert MessagesWait is pending")
    pending, firing, older = watch.events(page)
    assert pending.text == "alert DependencyDown is pending"
    assert pending.seconds < 0
    assert firing.text == "alert DependencyDown is firing"
    assert firing.seconds >= 0
    assert older.text == "alert MessagesWait is firing"
    assert watch.first({"DependencyDown", "MessagesWait"}) == pytest.approx(pending.seconds + page - opened, abs=0.5)
    assert watch.first({"MessagesWait"}) is None, "it was active before the fault"
    assert watch.first({"StatementsFail"}) is None
