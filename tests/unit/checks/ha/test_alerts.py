"""The watch counts the alerts that an engineer is notified of: those that fire and that no Alertmanager inhibits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from checks.ha.alerts import AlertWatch
from stack.clients.prometheus import PrometheusClient

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _answer(url: str, body: Any) -> httpx.Response:
    return httpx.Response(200, json=body, request=httpx.Request("GET", url))


def _watch(firing: dict[str, datetime], notified: dict[str, list[str]]) -> AlertWatch:
    def prometheus(url: str, **_: Any) -> httpx.Response:
        alerts = [
            {"labels": {"alertname": name}, "state": "firing", "activeAt": since.isoformat()}
            for name, since in firing.items()
        ]
        return _answer(url, {"data": {"alerts": alerts}})

    def alertmanager(url: str, **_: Any) -> httpx.Response:
        query = httpx.URL(url)
        assert query.params["inhibited"] == "false"
        names = notified.get(query.host)
        if names is None:
            raise httpx.ConnectError("refused")
        return _answer(url, [{"labels": {"alertname": name}} for name in names])

    return AlertWatch(
        lambda: [PrometheusClient("http://prometheus", prometheus)],
        lambda: ["http://first", "http://second"],
        alertmanager,
    )


def test_an_inhibited_alert_and_one_from_before_do_not_count() -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    firing = {"CollectorDown": later, "CollectorQueueStuck": later, "RequestsSlow": BEGAN}
    watch = _watch(firing, {"first": ["CollectorDown", "RequestsSlow"], "second": ["CollectorDown"]})
    watch.look()
    assert watch.seconds.keys() == {"CollectorDown"}


def test_one_alertmanager_suffices() -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    watch = _watch({"CollectorDown": later}, {"second": ["CollectorDown"]})
    watch.look()
    assert watch.seconds.keys() == {"CollectorDown"}


def test_without_an_alertmanager_nothing_is_notified() -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    watch = _watch({"CollectorDown": later}, {})
    watch.look()
    assert not watch.seconds
