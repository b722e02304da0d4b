"""The rollout's own requests: as many as are missing, to both versions, and probes whose traces are compared."""

import json
import threading
import time

import httpx
import pytest

from contracts.http import TASKS
from stack.clients.traces import Span, TraceStoreClient
from stack.polling import CheckFailure
from stack.rollout.probes import Probes
from stack.rollout.supply import Supply, rate
from tests.support.http_server import Request, Response, http_server

WAIT_SECONDS = 20.0


class Gateways:
    """Two gateways that count their requests."""

    def __init__(self, status: int = 202, task_status: str = "pending") -> None:
        self.requests: list[Request] = []
        self.status = status
        self.task_status = task_status
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        with self._lock:
            self.requests.append(request)
        task = {"id": "1", "status": self.task_status}
        return Response(status=self.status, body=json.dumps(task))

    def wait_for(self, number: int) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while len(self.requests) < number:
            assert time.monotonic() < end, f"{len(self.requests)} of {number} requests"
            time.sleep(0.05)


def test_missing_operations_are_supplied_to_both_versions_and_no_others() -> None:
    stable, canary = Gateways(), Gateways(status=500)
    with http_server(stable.answer) as one, http_server(canary.answer) as other:
        supply = Supply([one, other], largest_rate=50)
        with supply.run():
            supply.request(missing=300, seconds=30)
            stable.wait_for(3)
            canary.wait_for(3)
            supply.request(missing=0, seconds=30)
            time.sleep(1.0)
            number = len(stable.requests) + len(canary.requests)
            time.sleep(1.5)
            assert len(stable.requests) + len(canary.requests) == number
    assert {request.path for request in stable.requests} == {TASKS}
    assert "base_url" in json.loads(stable.requests[0].body)
    assert "traceparent" not in stable.requests[0].headers, "traced and sampled like the requests of users"


def test_the_rate_is_what_is_missing_and_at_most_the_largest() -> None:
    assert rate(missing=60, seconds=60, gateways=2, largest=5) == 2
    assert rate(missing=6000, seconds=60, gateways=2, largest=5) == 5
    assert rate(missing=0, seconds=60, gateways=2, largest=5) == 0


def test_the_traces_of_probes_that_fail_are_looked_up_as_examples() -> None:
    spans = [Span(span_id="a", parent_id="", service="gateway", name="POST", kind="SERVER", start=0, end=1, error=True)]

    class Store(TraceStoreClient):
        def trace(self, trace_id: str) -> list[Span]:
            return spans

    gateways = Gateways(status=500)
    with http_server(gateways.answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.1, stored_seconds=5)
        with probes.run():
            gateways.wait_for(7)
        probes.look_up_failed()
    assert (probes.whole, probes.missed) == (0, [])
    assert list(probes.traces.values()) == [spans] * 5


def test_a_trace_without_every_hop_is_missed_once_its_task_has_ended() -> None:
    """A stack that is slow has late spans, which are no fault of the version."""

    class Store(TraceStoreClient):
        def trace(self, trace_id: str) -> list[Span]:
            return []

    gateways = Gateways()
    with http_server(gateways.answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.1, stored_seconds=0.2)
        with probes.run():
            gateways.wait_for(40)  # each looked up several times
            assert probes.missed == []
        gateways.task_status = "completed"
        probes.finish()
    assert probes.missed
    assert probes.whole == 0


def test_probes_are_sent_faster_once_a_trace_is_missed() -> None:
    class Store(TraceStoreClient):
        def trace(self, trace_id: str) -> list[Span]:
            return []

    gateways = Gateways()
    gateways.task_status = "completed"
    with http_server(gateways.answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.5, hurry=0.05, stored_seconds=0.6)
        started = time.monotonic()
        with probes.run():
            gateways.wait_for(40)  # 20 s without the hurry
            assert time.monotonic() - started < 15
    assert probes.missed


def test_probes_go_to_each_version_also_when_one_of_them_fails() -> None:
    stable, canary = Gateways(), Gateways(status=500)
    with http_server(stable.answer) as one, http_server(canary.answer) as other:
        probes = Probes([other, one], TraceStoreClient("tempo", one, httpx.get), every=0.1, stored_seconds=5)
        with probes.run():
            stable.wait_for(2)
            canary.wait_for(2)


def test_results_count_in_the_order_of_the_probes() -> None:
    """A whole trace is known at once, a missed one late: a version that loses some would seem to lose none at first."""

    class Store(TraceStoreClient):
        first = ""

        def trace(self, trace_id: str) -> list[Span]:
            self.first = self.first or trace_id
            if trace_id == self.first:
                raise CheckFailure("hop missing")
            return []

    gateways = Gateways()
    with http_server(gateways.answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.1, stored_seconds=0.2, hops=())
        with probes.run():
            gateways.wait_for(20)
            assert len(probes.traces) > 1
            assert (probes.whole, probes.missed) == (0, [])
        gateways.task_status = "completed"
        probes.finish()
    assert len(probes.missed) == 1
    assert probes.whole == len(probes.traces) > 1


def test_a_store_that_does_not_answer_is_no_missed_trace() -> None:
    class Store(TraceStoreClient):
        def trace(self, trace_id: str) -> list[Span]:
            raise httpx.ConnectError("connection refused")

    gateways = Gateways(task_status="completed")
    with http_server(gateways.answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.1, stored_seconds=0.2)
        with probes.run():
            gateways.wait_for(20)
        probes.finish()
    assert (probes.whole, probes.missed) == (0, [])
    assert "connection refused" in probes.unanswered[0]


def test_a_gateway_that_answers_anything_else_ends_no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.rollout.probes._TASK_SECONDS", 1.0)

    class Store(TraceStoreClient):
        def trace(self, trace_id: str) -> list[Span]:
            return []

    def answer(request: Request) -> Response:
        return Response(status=202, body=json.dumps({"id": "1"} if request.path == TASKS else []))

    with http_server(answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.1, stored_seconds=0.2)
        with probes.run():
            end = time.monotonic() + WAIT_SECONDS
            while not probes.missed and time.monotonic() < end:
                time.sleep(0.05)
    assert probes.missed, "its task must have ended by now"


def test_an_answer_that_is_no_task_is_a_failed_request() -> None:
    class Store(TraceStoreClient):
        def trace(self, trace_id: str) -> list[Span]:
            return []

    requests = []

    def answer(request: Request) -> Response:
        requests.append(request)
        return Response(status=202, body="[]")

    with http_server(answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.1, stored_seconds=5)
        with probes.run():
            end = time.monotonic() + WAIT_SECONDS
            while len(requests) < 7 and time.monotonic() < end:
                time.sleep(0.05)
        probes.look_up_failed()
    assert (probes.whole, probes.missed) == (0, [])
    assert len(probes.traces) == 5


def test_only_the_latest_traces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.rollout.probes._MOST_TRACES", 3)

    class Store(TraceStoreClient):
        def trace(self, trace_id: str) -> list[Span]:
            return []

    gateways = Gateways()
    with http_server(gateways.answer) as url:
        probes = Probes([url], Store("tempo", url, httpx.get), every=0.1, stored_seconds=5, hops=())
        with probes.run():
            gateways.wait_for(8)
        probes.finish()
    assert probes.whole > 3
    assert len(probes.traces) == 3


def test_the_end_waits_for_a_look_up_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.rollout.probes._ANSWER_SECONDS", 0.5)
    at_once = []

    class Store(TraceStoreClient):
        number = 0

        def trace(self, trace_id: str) -> list[Span]:
            self.number += 1
            at_once.append(self.number)
            time.sleep(2.0)
            self.number -= 1
            return []

    gateways = Gateways()
    with http_server(gateways.answer) as url:
        store = Store("tempo", url, httpx.get)
        probes = Probes([url], store, every=0.2, stored_seconds=5, hops=())
        with probes.run():
            gateways.wait_for(2)
        probes.finish()
    assert set(at_once) == {1}
