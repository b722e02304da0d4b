"""A receiver, and tracing that exports to it."""

from collections.abc import Iterator
from typing import Any

import pytest

from checks.harness.receiver import Receiver, receiving
from lean_tracing import Tracing
from lean_tracing.own_attributes import PREFIX
from tests.support.exporting import Start, start_towards


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def start(receiver: Receiver) -> Iterator[Start]:
    """Starts tracing to the fixture's receiver, or to the receiver of the argument."""
    started: list[Tracing] = []

    def begin(towards: Receiver | None = None, **changes: Any) -> Tracing:
        tracing = start_towards(towards or receiver, **changes)
        started.append(tracing)
        return tracing

    yield begin
    for tracing in started:
        tracing.shutdown(1.0)


@pytest.fixture(scope="session")
def attribute_prefix() -> str:
    """The library's own."""
    return PREFIX
