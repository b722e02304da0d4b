"""Readiness follows the dependencies of a service: always, or until their first answer."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from fastapi import FastAPI

from checks.harness.ports import free_port
from lean_tracing import TracingSettings, start_tracing
from service.common.config import ServiceSettings
from service.common.health import Dependency, Health
from service.common.metrics import Metrics
from stack.polling import poll_until
from tests.support.serving import served


class Switch:
    """A dependency that can be switched on."""

    def __init__(self, reason: str = "no answer") -> None:
        self.is_up = False
        self.reason = reason

    def check(self) -> None:
        if not self.is_up:
            raise ConnectionError(self.reason)


@contextmanager
def health_of(*dependencies: Dependency) -> Iterator[httpx.Client]:
    tracing = start_tracing(TracingSettings(enabled=False))
    health = Health(dependencies, tracing.traces, Metrics())
    app = FastAPI()
    app.include_router(health.router())
    health.start()
    try:
        with served(app, ServiceSettings(port=free_port())) as url, httpx.Client(base_url=url) as client:
            yield client
    finally:
        health.stop()
        tracing.shutdown()


@pytest.mark.parametrize("at_first", [True, False])
def test_readiness_follows_a_required_dependency_always_or_until_its_first_answer(at_first: bool) -> None:
    kafka = Switch()
    with health_of(Dependency(name="kafka", check=kafka.check, at_first=at_first)) as client:
        poll_until("a first check", lambda: "down" in client.get("/api/health").text)
        assert client.get("/api/health/ready").status_code == 503, "it has never answered"
        kafka.is_up = True
        poll_until("readiness", lambda: client.get("/api/health/ready").is_success)
        kafka.is_up = False
        poll_until("the outage", lambda: "down" in client.get("/api/health").text)
        assert client.get("/api/health/ready").is_success == at_first
        answer = client.get("/api/health")
        expected = (200, "degraded") if at_first else (503, "unavailable")
        assert (answer.status_code, answer.json()["status"]) == expected


def test_no_part_of_a_password_appears_where_a_long_reason_is_cut() -> None:
    url = "postgresql://app:hunter2hunter2hunter2hunter2@db.example/tasks"
    database = Switch("x" * 130 + f" cannot connect to {url}")
    with health_of(Dependency(name="postgres", check=database.check)) as client:
        poll_until("a first check", lambda: "down" in client.get("/api/health").text)
        answer = client.get("/api/health").text
    assert "xxx cannot" in answer
    assert "hunter" not in answer


@pytest.mark.parametrize(("pause", "expected"), [(0.0, 3), (3600.0, 1)])
def test_the_log_has_each_new_reason_and_is_not_filled_by_reasons_in_turn(
    pause: float, expected: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service.common.health")
    monkeypatch.setattr("service.common.health._SECONDS_BETWEEN_REASONS", pause)
    monkeypatch.setattr("service.common.health._SECONDS_WHEN_DOWN", 0.01)
    database = Switch("refused")
    with health_of(Dependency(name="postgres", check=database.check)) as client:

        def has(reason: str) -> bool:
            return reason in client.get("/api/health").text

        for reason in ("refused", "no connection left", "refused"):
            database.reason = reason
            poll_until("a check", partial(has, reason))
        lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(lines) == expected, "a reason that stays is logged once"
        assert lines[0] == "dependency postgres is unavailable (ConnectionError: refused)"
        database.is_up = True
        poll_until("readiness", lambda: client.get("/api/health/ready").is_success)
    assert "dependency postgres is up" in caplog.messages


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
def test_the_checks_go_on_after_a_base_exception(error: type[BaseException]) -> None:
    raised: list[BaseException] = [error("unexpected")]

    def check() -> None:
        if raised:
            raise raised[0]

    with health_of(Dependency(name="database", check=check)) as client:
        poll_until("the outage", lambda: error.__name__ in client.get("/api/health").text)
        assert client.get("/api/health/ready").status_code == 503
        raised.clear()
        poll_until("readiness", lambda: client.get("/api/health/ready").is_success)


def test_the_checks_go_on_after_another_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka, tracing, metrics = Switch(), start_tracing(TracingSettings(enabled=False)), Metrics()
    monkeypatch.setattr("service.common.health._SECONDS_WHEN_DOWN", 0.01)
    health = Health([Dependency(name="kafka", check=kafka.check)], tracing.traces, metrics)
    with monkeypatch.context() as patched:
        patched.setattr(metrics, "dependency_up", None)  # a failure outside the check
        health.start()
        failures = metrics.loop_failures.labels("health")
        poll_until("a failure", lambda: failures._value.get() >= 2)
    kafka.is_up = True
    poll_until("readiness", lambda: health.ready)
    health.stop()
    assert not health.ready
