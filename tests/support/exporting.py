"""Starts the tracing library so that it exports to a receiver of the test, with short times."""

from collections.abc import Callable
from typing import Any

from checks.harness.receiver import Receiver
from lean_tracing import Tracing, TracingSettings, start_tracing
from lean_tracing.statistics import SignalStatistics

Start = Callable[..., Tracing]


def start_towards(receiver: Receiver, **changes: Any) -> Tracing:
    """Tracing with the receiver's address and short times; `changes` are other settings, by field."""
    values: dict[str, Any] = {
        "endpoint": receiver.endpoint,
        "service_name": "under-test",
        "delay_ms": 20,
        "timeout_ms": 2000,
        "breaker_failures": 2,
        "breaker_reset_ms": 100,
        "hash_key": "a key for tests",
    }
    return start_tracing(TracingSettings(**{**values, **changes}))


def account(tracing: Tracing) -> SignalStatistics:
    """Of the spans."""
    return tracing.statistics.signals[0]


def make(tracing: Tracing, names: range, **attributes: str) -> None:
    """Ends a span for each number."""
    for number in names:
        with tracing.traces.span(f"span {number}", attributes=attributes):
            pass


def numbers(receiver: Receiver) -> list[int]:
    """Of the spans that arrived, in their order."""
    return [int(span.name.split()[1]) for span in receiver.spans()]
