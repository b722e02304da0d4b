"""The program that runs in the pods reports how real connections went."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from checks.harness.ports import free_port
from stack.connections.connections import Source, connections


def run(_: Source, command: Sequence[str]) -> str:
    """Runs the command of a pod as a process of this machine."""
    assert command[0] == "python3"
    result = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=True, env={})
    assert len(json.loads(result.stdout)) == len(command) - 4
    return result.stdout


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """A server whose queue of connections is full, so that the kernel drops the packets of the next one."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_the_result_of_each_connection_is_its_own(listening: str, silent: str) -> None:
    refused, unknown = f"127.0.0.1:{free_port()}", "no-such-host.invalid:80"
    addresses = (listening, refused, silent, unknown)
    environment = {"KAFKA_BOOTSTRAP_SERVERS": ",".join(addresses)}
    results = connections(
        [Source(pod="gateway-1", container="gateway", environment=environment)], run, frozenset({"no-such-host"})
    )
    assert [result.address for result in results] == list(addresses)
    outcomes = [result.outcome for result in results]
    assert outcomes[:3] == ["OK", "refused", "timed out"]
    assert outcomes[3].startswith("name not resolved")
    assert outcomes[3].endswith(": no ready pod behind the Service no-such-host")
    assert [result.is_ok for result in results] == [True, False, False, False]
    times = [result.ms or 0 for result in results]
    assert times[0] < 1000
    assert 2900 < times[2] < 4000
