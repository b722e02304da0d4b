"""Nothing that is raised within the export ends it, and every span stays accounted for."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from prometheus_client import CollectorRegistry, generate_latest

from checks.harness.receiver import Receiver, accept, receiving, refuse, reject, reply
from lean_tracing import Tracing, otlp_exporter
from lean_tracing.encoding import Request
from stack.polling import poll_until
from tests.support.exporting import Start, account, make, numbers, start_towards
from tests.support.profiles import examples
from tests.support.service_process import ROOT


def _partial(count: int) -> bytes:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = count
    return bytes(answer.SerializeToString())


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (b"\xff\xff\xff", 0),
        (b"<html>hello</html>", 0),
        (b"\x00" * 100_000, 0),
        (_partial(-1), 0),
        (_partial(-(2**63)), 0),
        (_partial(7), 3),
        (_partial(2**63 - 1), 3),
    ],
)
def test_an_answer_that_makes_no_sense_harms_nothing(
    receiver: Receiver, start: Start, answer: bytes, refused: int, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start(delay_ms=100)
    receiver.behave = reply(answer)
    make(tracing, range(3))
    assert tracing.flush(60)
    spans = account(tracing)
    assert (spans.exported, sum(spans.refused.values()), spans.errors["answer"]) == (3 - refused, refused, 1)
    receiver.behave = accept
    make(tracing, range(3, 6))
    assert tracing.flush(60)
    assert numbers(receiver) == list(range(6))
    assert spans.unaccounted == 0
    assert [line for line in caplog.messages if "makes no sense" in line]


@pytest.mark.parametrize("length", [5 << 20, 17 << 20])
def test_an_answer_that_is_too_long_is_no_refusal(
    receiver: Receiver, start: Start, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start(delay_ms=60_000, timeout_ms=20_000)
    receiver.behave = reply(b"\xff" * length)
    make(tracing, range(10))
    assert tracing.flush(60)
    assert numbers(receiver) == list(range(10))
    spans = account(tracing)
    assert (receiver.asked, spans.exported, spans.lost, spans.errors["answer"]) == (1, 10, 0, 1)
    assert [line for line in caplog.messages if "makes no sense" in line]


def test_a_warning_in_an_accepting_answer_is_logged(
    receiver: Receiver, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start()
    receiver.behave = reject(0)
    make(tracing, range(1))
    assert tracing.flush(60)
    assert "rejects by order of the test" in caplog.text
    assert (account(tracing).exported, account(tracing).lost) == (1, 0)


class _WithoutCode(grpc.RpcError):  # type: ignore[misc]
    """As gRPC's interceptors and its asynchronous half raise."""


@pytest.mark.parametrize(
    "error", [_WithoutCode("lost"), TypeError("no bytes"), ValueError("metadata was invalid"), OSError(24, "files")]
)
def test_any_exception_of_the_client_is_a_result(
    receiver: Receiver, start: Start, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: object) -> Any:
        raise error

    tracing = start()
    with monkeypatch.context() as patched:
        patched.setattr(otlp_exporter.OtlpExporter, "_connect", fail)
        make(tracing, range(3))
        poll_until("a try", lambda: account(tracing).requests.total() >= 1)
    make(tracing, range(3, 6))
    assert tracing.flush(60)
    spans = account(tracing)
    assert spans.exported + spans.lost == 6
    assert set(numbers(receiver)) >= {3, 4, 5}
    assert spans.unaccounted == 0
    assert set(spans.requests) == {"ok", "unknown" if isinstance(error, grpc.RpcError) else "exception"}


_RAISED = (RuntimeError, MemoryError, RecursionError, SystemExit, KeyboardInterrupt, asyncio.CancelledError)
_SITES = (
    "_encoder.begin",
    "_encoder.item",
    "_encoder.split",
    "_exporter.send",
    "_delivery.buffer.add",
    "_delivery.buffer.first",
    "_delivery.buffer.drop_first",
    "_delivery.breaker.allows",
    "_delivery.breaker.failed",
    "_delivery.breaker.succeeded",
    "_delivery.breaker.seconds_until_trial",
    "_delivery.outage.failed",
    "_delivery.outage.accepted",
    "_delivery.outage.report",
    "statistics.requested",
    "_delivery._send",
    "_encode",
    "_delivery.deliver",
    "_delivery.replay",
    "_delivery._settle",
    "_work",
    "_turn",
    "_delivery.room",
    "_wake.wait",
)


class _Faults:
    """Makes a call of the processor raise, at its n-th time from now on."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.raised = 0

    def plant(self, site: str, error: type[BaseException], call: int) -> None:
        owner: Any = self._processor
        *path, name = site.split(".")
        for part in path:
            owner = getattr(owner, part)
        whole = getattr(owner, name)
        left = [call]

        def faulty(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                self.raised += 1
                raise error(f"planted in {site}")
            return whole(*arguments, **named)

        setattr(owner, name, faulty)


@pytest.fixture(scope="module")
def shared() -> Iterator[Receiver]:
    with receiving() as receiver, pytest.MonkeyPatch.context() as patched:
        patched.setattr("lean_tracing.background._MIN_PAUSE", 0.001)
        yield receiver


_FAULT = st.tuples(st.sampled_from(_SITES), st.sampled_from(_RAISED), st.integers(1, 4))
_ANSWERS: tuple[Callable[..., bytes], ...] = (
    accept,
    refuse(grpc.StatusCode.UNAVAILABLE),
    refuse(grpc.StatusCode.INVALID_ARGUMENT),
    refuse(grpc.StatusCode.RESOURCE_EXHAUSTED),
    reply(b"\xff"),
    reject(2),
)


@settings(
    max_examples=examples(0.2),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller example takes minutes
)
@given(
    faults=st.lists(_FAULT, min_size=1, max_size=4, unique_by=lambda fault: fault[0]),
    answers=st.lists(st.sampled_from(_ANSWERS), max_size=4),
)
def test_every_span_is_accounted_for_after_any_exception_anywhere(
    shared: Receiver, faults: list[tuple[str, type[BaseException], int]], answers: list[Callable[..., bytes]]
) -> None:
    left = list(answers)
    shared.behave = lambda context: (left.pop(0) if left else accept)(context)
    previous = len(shared.spans())
    tracing = start_towards(shared, delay_ms=2, breaker_reset_ms=100, max_batch_size=7, max_queue_size=1000)
    try:
        planted = _Faults(tracing._processors[0])
        for site, error, call in faults:
            planted.plant(site, error, call)
        make(tracing, range(40))
        tracing.flush(5)
        make(tracing, range(40, 60))
        assert tracing.flush(60), "the export goes on"
        spans = account(tracing)
        assert spans.ended == 60
        assert spans.unaccounted == 0
        assert (spans.queued(), spans.in_flight, spans.buffered()[0]) == (0, 0, 0)
        # A span may come twice where the account of its first arrival failed, and none is counted that did not come.
        assert len({span.span_id for span in shared.spans()[previous:]}) >= spans.exported
    finally:
        tracing.shutdown(1.0)
    assert account(tracing).unaccounted == 0


@pytest.mark.parametrize("error", _RAISED)
def test_what_is_raised_in_the_loop_is_counted_and_logged(
    receiver: Receiver, start: Start, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start()
    _Faults(tracing._processors[0]).plant("_delivery.breaker.allows", error, 1)
    make(tracing, range(3))
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1, 2]
    assert account(tracing).errors["loop"] == 1
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[0] is error


def test_a_loop_that_always_fails_fills_no_log(
    receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lean_tracing.background._MIN_PAUSE", 0.0)
    tracing = start(delay_ms=1)
    processor: Any = tracing._processors[0]
    turn = processor._work

    def fail() -> None:
        raise RuntimeError("always")

    processor._work = fail
    make(tracing, range(3))
    poll_until("a thousand failures", lambda: account(tracing).errors["loop"] >= 1000)
    assert len(caplog.records) <= 11
    processor._work = turn
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_replaced_and_what_was_queued_meanwhile_is_sent(receiver: Receiver, start: Start) -> None:
    tracing = start(delay_ms=10)
    processor: Any = tracing._processors[0]
    run, dead = processor._runner.run, threading.Event()

    def die(step: Callable[[], object]) -> None:
        dead.set()
        raise SystemExit

    make(tracing, range(1))
    assert tracing.flush(60)
    thread = processor._thread
    processor._runner.run = die
    assert dead.wait(5)
    # Not merely until the processor has forgotten it: its error would else be a warning of a later test.
    thread.join()
    processor._runner.run = run
    make(tracing, range(1, 4))
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1, 2, 3]


_start_thread = threading.Thread.start


def _none_left(thread: threading.Thread) -> None:
    """For the library; the receiver of the test has its threads."""
    if thread.name.startswith(("export", "tracing")):
        raise RuntimeError("can't start new thread")
    _start_thread(thread)


def test_without_threads_spans_wait_and_the_end_sends_them(
    receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start()
    monkeypatch.setattr(threading.Thread, "start", _none_left)
    make(tracing, range(500))
    assert account(tracing).errors["thread"] == 1, "a system that has none to give is not asked with each span"
    assert "no thread can be started" in caplog.text
    assert tracing.shutdown(5)
    assert numbers(receiver) == list(range(500))
    assert account(tracing).unaccounted == 0


def test_threads_that_are_to_be_had_again_are_used(
    receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = start()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _none_left)
        make(tracing, range(3))
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1, 2]


def test_a_logging_handler_that_raises_ends_nothing(receiver: Receiver, start: Start) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    logger, handler = logging.getLogger("lean_tracing"), Broken()
    logger.addHandler(handler)
    try:
        tracing = start()
        receiver.behave = refuse(grpc.StatusCode.UNAVAILABLE)
        make(tracing, range(3))
        poll_until("a failure", lambda: account(tracing).errors["log"] >= 1)
        receiver.behave = accept
        assert tracing.flush(60)
    finally:
        logger.removeHandler(handler)
    assert numbers(receiver) == [0, 1, 2]


def test_errors_are_a_metric(receiver: Receiver, start: Start) -> None:
    tracing = start()
    registry = CollectorRegistry()
    registry.register(tracing.statistics)
    receiver.behave = reply(b"\xff\xff\xff")
    make(tracing, range(1))
    assert tracing.flush(60)
    text = generate_latest(registry).decode()
    assert 'tracing_export_errors_total{kind="answer",signal="traces"} 1.0' in text


def test_spans_that_end_while_the_interpreter_does_are_sent(receiver: Receiver) -> None:
    program = (
        "import atexit\n"
        "from lean_tracing import TracingSettings, start_tracing\n"
        "late = []\n"
        "tracing = start_tracing(TracingSettings.from_env())\n"
        "def span(name):\n"
        "    with tracing.traces.span(name): pass\n"
        "atexit.register(span, 'span 1')\n"
        "span('span 0') if %r else None\n"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "TRACING_DELAY_MS": "60000", "PATH": "/usr/bin"}
    for first in (True, False):
        subprocess.run([sys.executable, "-c", program % first], cwd=ROOT, env=environment, check=True, timeout=60)
    assert numbers(receiver) == [0, 1, 1]


def test_a_span_that_ends_within_the_start_of_the_thread_is_not_waited_for(receiver: Receiver, start: Start) -> None:
    tracing: Tracing = start()
    processor: Any = tracing._processors[0]
    with processor._starting:  # as where the collector of garbage ends a span
        make(tracing, range(1))
    make(tracing, range(1, 2))
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1]


def test_spans_that_end_between_any_two_steps_of_the_export_are_not_waited_for(start: Start) -> None:
    """As where a handler of a signal or the collector of garbage ends them, which may hold no lock's owner up."""
    tracing = start(max_batch_size=1, delay_ms=5, max_queue_size=50)  # each span wakes the thread
    work = threading.Thread(target=_end_spans_everywhere, args=(tracing,), daemon=True)
    threading.setprofile(_end_spans_of(tracing))
    try:
        work.start()
        work.join(60)
        assert not work.is_alive(), "a span waits for a lock that its own thread holds"
    finally:
        threading.setprofile(None)
    assert tracing.flush(60)
    spans = account(tracing)
    assert spans.ended > 100
    assert spans.unaccounted == 0


def _end_spans_everywhere(tracing: Tracing) -> None:
    for number in range(20):
        make(tracing, range(number, number + 1))
        time.sleep(0.01)


def _end_spans_of(tracing: Tracing) -> Callable[..., None]:
    """A function that ends a span at calls and returns of the thread, a few thousand at most."""
    left = 3_000

    def interrupt(*_: object) -> None:
        nonlocal left
        left -= 1
        if left > 0:
            tracing.traces.start("span 0").end()

    return interrupt


def test_a_flush_that_takes_too_long_leaves_nothing_behind(receiver: Receiver, start: Start) -> None:
    tracing = start()
    receiver.stop()
    make(tracing, range(3))
    for _ in range(20):
        assert not tracing.flush(0.02)
    processor: Any = tracing._processors[0]
    assert processor._flushes == []
    receiver.start()
    assert tracing.flush(60)
    assert numbers(receiver) == [0, 1, 2]


def test_building_a_request_that_fails_loses_its_items_alone(
    receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, left = Request.encode, [1]

    def fail(request: Request) -> bytes:
        if left and left.pop():
            raise MemoryError
        return encode(request)

    monkeypatch.setattr(Request, "encode", fail)
    tracing = start(delay_ms=100)
    make(tracing, range(3))
    assert tracing.flush(60)
    make(tracing, range(3, 6))
    assert tracing.flush(60)
    assert numbers(receiver) == [3, 4, 5]
    assert (dict(account(tracing).dropped), account(tracing).unaccounted) == ({"error": 3}, 0)
