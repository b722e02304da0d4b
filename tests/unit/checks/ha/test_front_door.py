"""The front door tries another pod where that is safe, as ingress controllers do."""

from collections import Counter

import httpx
import pytest

from checks.ha.front_door import FrontDoor

PODS = ("10.0.0.1:8080", "10.0.0.2:8080")


class Pods(httpx.BaseTransport):
    """Pods of which some fail."""

    def __init__(self, **errors: type[httpx.TransportError]) -> None:
        self.errors = {f"10.0.0.{number.removeprefix('pod')}": error for number, error in errors.items()}
        self.requests: Counter[str] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests[request.url.host] += 1
        if error := self.errors.get(request.url.host):
            raise error("")
        return httpx.Response(200, content=request.read())


def send(pods: Pods, method: str, count: int, addresses: tuple[str, ...] = PODS) -> list[int | str]:
    """Sends requests, and returns the status of each, or the name of its error."""
    results: list[int | str] = []
    with httpx.Client(transport=FrontDoor(lambda: addresses, pods)) as client:
        for _ in range(count):
            try:
                results.append(client.request(method, "http://gateway/api/tasks").status_code)
            except httpx.TransportError as error:
                results.append(type(error).__name__)
    return results


def test_the_pods_take_turns() -> None:
    pods = Pods()
    assert send(pods, "POST", 4) == [200] * 4
    assert pods.requests == {"10.0.0.1": 2, "10.0.0.2": 2}


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pod_that_is_not_reached_is_passed_over(method: str, error: type[httpx.TransportError]) -> None:
    assert send(Pods(pod1=error), method, 4) == [200] * 4


def test_a_request_that_creates_something_is_not_sent_twice() -> None:
    pods = Pods(pod1=httpx.ReadError)
    assert send(pods, "POST", 2) == ["ReadError", 200]
    assert pods.requests.total() == 2


def test_a_request_that_only_reads_goes_to_the_next_pod() -> None:
    assert send(Pods(pod1=httpx.ReadError), "GET", 4) == [200] * 4


def test_no_answer_is_an_error() -> None:
    assert send(Pods(pod1=httpx.ConnectError, pod2=httpx.ConnectError), "GET", 1) == ["ConnectError"]
    assert send(Pods(), "GET", 1, addresses=()) == ["ConnectError"]
