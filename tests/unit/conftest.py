"""Keeps the unit tests fast: no process and no connection."""

import importlib
import sys
from collections.abc import Generator
from typing import Any

import pytest

_REFUSED = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "socket.bind", "socket.connect")

_is_unit_test = False


def _refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    """Fails the unit test that starts a process or opens a connection."""
    if _is_unit_test and event in _REFUSED:
        pytest.fail(f"{event} in a unit test: a test that needs it belongs in tests/process")


sys.addaudithook(_refuse)
# Its import binds a socket, to find out whether there is IPv6; a unit test may be the first to need it.
importlib.import_module("urllib3.util.connection")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Refuses processes and connections during the unit tests, and only then."""
    global _is_unit_test
    _is_unit_test = item.get_closest_marker("unit") is not None
    try:
        return (yield)
    finally:
        _is_unit_test = False
