"""Unit tests can neither start a process nor open a connection."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "--version"]),
        lambda: os.system("true"),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.create_server(("127.0.0.1", 0)),
    ],
    ids=["subprocess", "system", "connect", "listen"],
)
def test_a_unit_test_starts_no_process_and_opens_no_connection(start: Callable[[], Any]) -> None:
    with pytest.raises(pytest.fail.Exception, match="belongs in tests/process"):
        start()


def test_an_event_loop_is_allowed() -> None:
    asyncio.run(asyncio.sleep(0))


def test_the_folder_is_the_marker(request: pytest.FixtureRequest) -> None:
    markers = {marker.name for marker in request.node.iter_markers()}
    assert markers & {"unit", "process", "cluster"} == {"unit"}
