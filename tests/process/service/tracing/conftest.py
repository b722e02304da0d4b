"""A receiver, and tracing that exports to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from checks.harness.receiver import Receiver, receiving
from service.tracing import Tracing
from tests.support.exporting import Start, start_towards


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def start(receiver: Receiver) -> Iterator[Start]:
    """Starts tracing towards the receiver, or towards the one that is given."""
    started: list[Tracing] = []

    def begin(towards: Receiver | None = None, **changes: Any) -> Tracing:
        tracing = start_towards(towards or receiver, **changes)
        started.append(tracing)
        return tracing

    yield begin
    for tracing in started:
        tracing.shutdown(1.0)
