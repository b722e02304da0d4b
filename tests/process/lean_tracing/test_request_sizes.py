"""Requests have a limit in bytes. A request that the receiver never accepts is split and then dropped."""

import logging
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from checks.harness.receiver import Receiver, exhausted, receiving, refuse, spans_of
from stack.polling import poll_until
from tests.support.exporting import Start, account, make, numbers

_TEXT = "lorem ipsum " * 1166  # 14 kB
_LONG = {"one": _TEXT, "two": _TEXT, "three": _TEXT}


@pytest.fixture
def narrow() -> Iterator[Receiver]:
    """Takes 100,000 bytes: two of the long spans."""
    with receiving(largest=100_000) as receiver:
        yield receiver


def _sizes(receiver: Receiver) -> list[int]:
    return [len(request) for requests in receiver.requests.values() for request in requests]


def test_long_spans_reach_a_receiver_with_its_usual_limit(receiver: Receiver, start: Start) -> None:
    tracing = start(delay_ms=60_000)
    make(tracing, range(512), **_LONG)
    make(tracing, range(512, 518))
    assert tracing.flush(60)
    assert numbers(receiver) == list(range(518))
    assert max(_sizes(receiver)) <= 3 << 20
    assert len(_sizes(receiver)) <= 9, "each as full as it may be"
    assert (account(tracing).exported, account(tracing).unaccounted) == (518, 0)


@pytest.mark.parametrize("bound", [65_536, 100_000, 1 << 20])
def test_no_request_is_longer_than_the_setting_and_order_is_kept(receiver: Receiver, start: Start, bound: int) -> None:
    tracing = start(delay_ms=60_000, max_request_bytes=bound, max_batch_size=100)
    for number in range(300):
        make(tracing, range(number, number + 1), text="word " * (number * 37 % 2500))
    assert tracing.flush(60)
    assert numbers(receiver) == list(range(300))
    assert max(_sizes(receiver)) <= bound
    assert max(len(spans_of(request)) for requests in receiver.requests.values() for request in requests) <= 100


def test_a_span_too_long_for_any_request_holds_up_no_other(
    receiver: Receiver, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start(delay_ms=200, max_request_bytes=65_536)
    make(tracing, range(1))
    for _ in range(3):
        make(tracing, range(99, 100), **{f"text{number}": _TEXT for number in range(6)})
    make(tracing, range(1, 2))
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1]
    assert dict(account(tracing).refused) == {"too_large": 3}
    assert account(tracing).unaccounted == 0
    (line,) = [line for line in caplog.messages if "bytes" in line]
    assert "84117 bytes" in line, "the line names its size"


def test_a_request_refused_for_its_size_is_split(narrow: Receiver, start: Start) -> None:
    tracing = start(narrow, delay_ms=60_000)
    make(tracing, range(40), **_LONG)
    assert tracing.flush(60)
    assert numbers(narrow) == list(range(40))
    assert (account(tracing).exported, account(tracing).lost, account(tracing).unaccounted) == (40, 0, 0)
    refused = account(tracing).requests["resource_exhausted"]
    make(tracing, range(40, 60), **_LONG)
    assert tracing.flush(60)
    assert numbers(narrow) == list(range(60))
    assert account(tracing).requests["resource_exhausted"] == refused, "it has learned how much the receiver takes"


def test_one_span_too_large_for_the_receiver_is_refused_alone(
    narrow: Receiver, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start(narrow, delay_ms=60_000)
    make(tracing, range(20))
    make(tracing, range(99, 100), **{f"text{number}": _TEXT for number in range(8)})
    make(tracing, range(20, 40))
    assert tracing.flush(60)
    assert numbers(narrow) == list(range(40))
    assert dict(account(tracing).refused) == {"too_large": 1}
    assert account(tracing).unaccounted == 0
    assert "larger than max" in caplog.text, "the receiver's reason"


def test_a_receiver_without_any_room_is_not_tried_for_ever(
    receiver: Receiver, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behave = exhausted(None)
    tracing = start(delay_ms=60_000)
    make(tracing, range(512), text="x" * 100)
    assert tracing.flush(60)
    assert dict(account(tracing).refused) == {"too_large": 512}
    assert account(tracing).unaccounted == 0
    assert receiver.asked < 40, "not once for each span: what is refused small is not tried large"
    assert len(caplog.messages) <= 3


def test_a_receiver_that_names_a_time_is_tried_then(receiver: Receiver, start: Start) -> None:
    times: list[float] = []

    def refuse_first(context: grpc.ServicerContext) -> bytes:
        times.append(time.monotonic())
        return exhausted(0.7)(context) if len(times) == 1 else b""

    receiver.behave = refuse_first
    tracing = start(breaker_reset_ms=60_000, breaker_failures=100)
    make(tracing, range(3))
    assert tracing.flush(50)
    refused, accepted = times
    assert accepted - refused > 0.6
    assert numbers(receiver) == [0, 1, 2]
    assert dict(account(tracing).requests) == {"resource_exhausted": 1, "ok": 1}
    assert not account(tracing).refused


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 1e-9])
def test_a_wait_that_makes_no_sense_is_the_breakers(receiver: Receiver, start: Start, seconds: float) -> None:
    receiver.behave = exhausted(seconds)
    tracing = start()
    make(tracing, range(3))
    poll_until("two tries", lambda: receiver.asked >= 2)
    receiver.behave = lambda _context: b""
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1, 2]


def test_a_buffered_request_is_split_as_well(start: Start) -> None:
    receiver = Receiver(largest=100_000)
    receiver.start()
    receiver.stop()
    tracing = start(receiver, max_batch_size=20)
    make(tracing, range(40), **_LONG)
    poll_until("all in the buffer", lambda: account(tracing).buffered()[0] == 40)
    receiver.start()
    assert tracing.flush(60)
    assert sorted(numbers(receiver)) == list(range(40))
    assert (account(tracing).exported, account(tracing).unaccounted) == (40, 0)
    receiver.stop()


def test_logs_are_split_as_well(narrow: Receiver, start: Start) -> None:
    tracing = start(narrow, delay_ms=60_000, logs_exporter="otlp")
    assert tracing.log_handler is not None
    for number in range(20):
        record = logging.LogRecord("app", logging.INFO, "", 0, f"{number} {_TEXT}", (), None)
        tracing.log_handler.emit(record)
    assert tracing.flush(60)
    records = [
        record.body.string_value.split()[0] for request in narrow.log_requests() for part in request.resource_logs
        for scope in part.scope_logs for record in scope.log_records
    ]  # fmt: skip
    assert records == [str(number) for number in range(20)]


def _dislikes(receiver: Receiver, name: str, code: grpc.StatusCode) -> None:
    def inspect(request: bytes, context: grpc.ServicerContext) -> None:
        if any(span.name == name for span in spans_of(request)):
            refuse(code)(context)

    receiver.inspect = inspect


def test_one_span_that_never_gets_through_is_given_up_and_all_others_arrive(receiver: Receiver, start: Start) -> None:
    _dislikes(receiver, "span 13", grpc.StatusCode.UNAVAILABLE)
    tracing = start(breaker_reset_ms=100, delay_ms=5, max_queue_size=10_000)
    make(tracing, range(20))
    number = 1000
    deadline = time.monotonic() + 20
    while not account(tracing).refused and time.monotonic() < deadline:
        make(tracing, range(number, number + 1))
        number += 1
        time.sleep(0.002)
    assert tracing.flush(60)
    assert dict(account(tracing).refused) == {"unavailable": 1}
    assert sorted(numbers(receiver)) == [n for n in range(20) if n != 13] + list(range(1000, number))
    assert account(tracing).unaccounted == 0


def test_requests_that_take_too_long_become_smaller(receiver: Receiver, start: Start) -> None:
    released = threading.Event()

    def inspect(request: bytes, _context: grpc.ServicerContext) -> None:
        if len(spans_of(request)) > 4:
            released.wait(0.2)

    receiver.inspect = inspect
    kept: dict[str, None] = {}

    def keep(method: str, request: bytes) -> None:
        spans = spans_of(request)
        if len(spans) <= 4:
            kept.update((span.name, None) for span in spans)

    receiver.keep = keep
    tracing = start(timeout_ms=50, breaker_reset_ms=100, breaker_failures=20)
    make(tracing, range(8))
    assert tracing.flush(60)
    assert sorted(kept) == sorted(f"span {number}" for number in range(8))
    assert (account(tracing).exported, account(tracing).unaccounted) == (8, 0)
    released.set()
