"""A drill begins only with a stack that is up, and that this machine reaches."""

import socket
from collections.abc import Collection

import pytest

from checks.drill import start
from checks.harness.ports import free_port
from contracts.errors import UserError


class Pods:
    """A cluster on this machine."""

    def __init__(self, without: Collection[str] = ()) -> None:
        self._without = without

    def ready(self, name: str) -> list[object]:
        return [] if name in self._without else [name]

    def address(self, service: str) -> str:
        return "127.0.0.1"


def test_a_workload_without_a_ready_pod_is_named() -> None:
    with pytest.raises(UserError, match=r"not up: kafka, postgres has no ready pod\. Run `make up`"):
        start.require_ready(Pods(without=("kafka", "postgres")), seconds=0)


def test_a_port_that_does_not_answer_is_one_line() -> None:
    port = free_port()
    with pytest.raises(UserError, match=rf"does not reach postgres at 127\.0\.0\.1:{port} .*Run the drill on"):
        start.require_ready(Pods(), seconds=0, ports={"postgres": port})


def test_a_stack_that_is_up_and_reached_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        start.require_ready(Pods(), seconds=0, ports={"postgres": server.getsockname()[1]})
