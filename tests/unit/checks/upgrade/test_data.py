"""Each kind of lost data is reported."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx
import pytest

from checks.upgrade.data import Data, Grafana, Stack
from stack.clients.traces import Span

TRACE = "a" * 32
DATA = Data(
    time=1000.0,
    tasks={"1": {"id": "1", "status": "completed"}},
    traces={TRACE: frozenset({"s1", "s2"})},
    calls=7.0,
    lines={TRACE: 3},
    folder="kept-1",
)


def span(identifier: str) -> Span:
    return Span(
        span_id=identifier, parent_id="", service="gateway", name="x", kind="SERVER", start=0, end=1, error=False
    )


@dataclass(frozen=True)
class Store:
    """The trace store."""

    spans: list[str]

    def trace(self, trace_id: str) -> list[Span]:
        assert trace_id == TRACE
        return [span(identifier) for identifier in self.spans]


def folders(*there: str) -> Grafana:
    """A Grafana with these folders."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"].startswith("Basic ")
        return httpx.Response(200 if request.url.path.rpartition("/")[2] in there else 404, json={})

    return Grafana("http://grafana", "password", httpx.MockTransport(answer))


@dataclass(frozen=True)
class Fake:
    """A stack with all of `DATA`."""

    status: str = "completed"
    store: Store = field(default_factory=lambda: Store(["s1", "s2", "s3"]))
    counted: float | None = 7.0
    logged: int = 4
    grafana: Grafana | None = field(default_factory=lambda: folders("kept-1", "other"))

    def task(self, identifier: str) -> dict[str, Any]:
        return {"id": identifier, "status": self.status}

    def calls(self, timestamp: float) -> float | None:
        assert timestamp == DATA.time
        return self.counted

    def lines(self, trace_id: str, since: float) -> int:
        return self.logged


def lost(stack: Fake) -> list[str]:
    return DATA.lost(cast(Stack, stack))


@pytest.mark.parametrize("stack", [Fake(), Fake(grafana=None)])
def test_a_stack_with_the_data_and_other_data_has_lost_nothing(stack: Fake) -> None:
    assert lost(stack) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "error"}, "task 1 has changed"),
        ({"store": Store(["s2"])}, "lacks 1 of 2 spans"),
        ({"store": Store([])}, "lacks 2 of 2 spans"),
        ({"counted": None}, "counted at 1000 are None, not 7.0"),
        ({"logged": 2}, "has 2 of 3 log lines"),
        ({"grafana": folders("other")}, "Grafana's folder kept-1 is missing"),
    ],
)
def test_lost_data_is_named(change: dict[str, Any], message: str) -> None:
    (line,) = lost(replace(Fake(), **change))
    assert message in line
