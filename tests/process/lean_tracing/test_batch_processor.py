"""Export to a receiver that accepts, refuses, hangs, becomes unavailable and comes back."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from checks.harness.certificates import self_signed
from checks.harness.receiver import Receiver, refuse, reject
from lean_tracing import Tracing, TracingSettings, start_tracing
from lean_tracing.breaker import State
from lean_tracing.statistics import SignalStatistics
from stack.polling import poll_until

_ROOT = Path(__file__).parents[3]


def _account(tracing: Tracing) -> SignalStatistics:
    (traces,) = tracing.statistics.signals
    return traces


def _make(tracing: Tracing, names: range) -> None:
    for number in names:
        with tracing.traces.span(f"span {number}"):
            pass


def _numbers(receiver: Receiver) -> list[int]:
    return [int(span.name.split()[1]) for span in receiver.spans()]


def test_spans_arrive_with_their_resource(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    tracing = start(resource_attributes={"service.version": "7"}, headers={"authorization": "Bearer let-me-in"})
    _make(tracing, range(3))
    assert tracing.flush(60)
    assert _numbers(receiver) == [0, 1, 2]
    assert receiver.metadata[0]["authorization"] == "Bearer let-me-in"
    account = _account(tracing)
    assert (account.ended, account.exported, account.unaccounted) == (3, 3, 0)
    assert tracing.statistics.spans.started == 3


def test_a_full_batch_does_not_wait_for_the_delay(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    tracing = start(delay_ms=60_000, max_batch_size=10, max_queue_size=100)
    _make(tracing, range(10))
    poll_until("ten spans", lambda: len(receiver.spans()) == 10)


def test_what_a_full_batch_leaves_waits_for_more(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    tracing = start(delay_ms=60_000, max_batch_size=10, max_queue_size=100)
    _make(tracing, range(34))
    poll_until("three full batches", lambda: len(receiver.spans()) == 30)
    assert _account(tracing).queued() == 4
    _make(tracing, range(34, 40))
    poll_until("the fourth", lambda: len(receiver.spans()) == 40)
    _make(tracing, range(40, 43))
    assert tracing.flush(60)
    assert _numbers(receiver) == list(range(43))
    assert receiver.asked == 5


def test_nothing_is_lost_in_an_outage_and_order_is_kept(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    tracing = start(max_batch_size=5, max_queue_size=1000)
    _make(tracing, range(10))
    assert tracing.flush(60)
    receiver.stop()
    for first in range(10, 60, 10):
        _make(tracing, range(first, first + 10))
        poll_until("the queue is empty", lambda: _account(tracing).queued() == 0)
    poll_until("the breaker is open", lambda: _account(tracing).breaker()[0] == State.OPEN)
    account = _account(tracing)
    poll_until("everything is buffered", lambda: account.buffered()[0] == 50)
    assert (account.exported, account.unaccounted) == (10, 0)
    receiver.start()
    assert tracing.flush(60)
    assert sorted(_numbers(receiver)) == list(range(60))
    assert _numbers(receiver) == sorted(_numbers(receiver)), "nothing new came in between, so old ones come in order"
    assert (account.exported, account.buffered(), account.unaccounted) == (60, (0, 0, 0), 0)
    assert account.breaker() == (State.CLOSED, 1)


@pytest.mark.parametrize(
    "code", ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"]
)
def test_a_retryable_request_is_sent_again(receiver: Receiver, start: Callable[..., Tracing], code: str) -> None:
    tracing = start()
    receiver.behave = refuse(grpc.StatusCode[code])
    _make(tracing, range(3))
    poll_until("it is refused twice", lambda: receiver.asked >= 2)
    receiver.behave = lambda _context: b""
    assert tracing.flush(60)
    assert _numbers(receiver) == [0, 1, 2]
    assert _account(tracing).requests[code.lower()] >= 2


@pytest.mark.parametrize(
    "code",
    [
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "FAILED_PRECONDITION",
        "INTERNAL",
        "UNIMPLEMENTED",
    ],
)
def test_a_hopeless_request_is_dropped_counted_and_logged(
    receiver: Receiver, start: Callable[..., Tracing], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = start()
    receiver.behave = refuse(grpc.StatusCode[code])
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            _make(tracing, range(number, number + 1))
            assert tracing.flush(60)
    account = _account(tracing)
    assert dict(account.refused) == {code.lower(): 3}
    assert account.unaccounted == 0
    assert account.breaker()[0] == State.CLOSED, "the receiver is there"
    assert len([line for line in caplog.messages if "refused" in line]) == 1, "once an outage"


def test_a_part_that_was_rejected_is_counted(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    tracing = start(delay_ms=200)
    receiver.behave = reject(2)
    _make(tracing, range(5))
    assert tracing.flush(60)
    account = _account(tracing)
    assert (account.exported, dict(account.refused), account.unaccounted) == (3, {"partial": 2}, 0)


def test_a_hanging_receiver_is_given_up_in_time(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    released = threading.Event()

    def hang(_context: grpc.ServicerContext) -> bytes:
        released.wait(20)
        return b""

    receiver.behave = hang
    tracing = start(timeout_ms=150)
    _make(tracing, range(1))
    poll_until("the deadline passes", lambda: _account(tracing).requests["deadline_exceeded"] >= 1)
    assert _account(tracing).buffered()[0] == 1
    began = time.monotonic()
    assert not tracing.shutdown(0.3)
    assert time.monotonic() - began < 15
    released.set()
    assert dict(_account(tracing).dropped) == {"shutdown": 1}
    assert _account(tracing).unaccounted == 0
    assert tracing.shutdown(), "a second call does nothing"


def test_a_full_queue_drops_and_counts(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    released = threading.Event()

    def hang(_context: grpc.ServicerContext) -> bytes:
        released.wait(20)
        return b""

    receiver.behave = hang
    tracing = start(max_queue_size=10, max_batch_size=5)
    _make(tracing, range(5))
    poll_until("the worker is busy", lambda: receiver.asked == 1)
    _make(tracing, range(5, 30))
    account = _account(tracing)
    assert account.dropped["queue_full"] == 15
    assert account.unaccounted == 0
    released.set()
    assert tracing.flush(60)
    assert (account.exported, account.unaccounted) == (15, 0)


def test_a_full_buffer_drops_the_oldest(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    receiver.stop()
    tracing = start(buffer_bytes=65_536, max_batch_size=50, max_queue_size=100_000)
    for number in range(3000):
        with tracing.traces.span(f"span {number}", attributes={"noise": os.urandom(40).hex()}):
            pass
    account = _account(tracing)
    poll_until("the queue is empty", lambda: account.queued() == 0 and account.in_flight == 0)
    assert account.dropped["buffer_full"] > 1000
    assert account.buffered()[2] <= 65_536
    assert account.unaccounted == 0
    receiver.start()
    assert tracing.flush(60)
    assert _numbers(receiver)[-1] == 2999
    assert account.exported + account.dropped["buffer_full"] == 3000


def test_a_span_that_cannot_be_encoded_costs_no_other(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    tracing = start(delay_ms=200)
    _make(tracing, range(1))
    tracing.traces.start("span -1", kind=None).end()  # type: ignore[arg-type]
    _make(tracing, range(1, 2))
    assert tracing.flush(60)
    assert _numbers(receiver) == [0, 1]
    assert dict(_account(tracing).dropped) == {"encoding": 1}
    assert _account(tracing).unaccounted == 0


def test_shutdown_sends_what_is_left_even_after_an_outage(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    receiver.stop()
    tracing = start(breaker_reset_ms=60_000, max_batch_size=5, max_queue_size=100)
    _make(tracing, range(20))
    poll_until("everything is buffered", lambda: _account(tracing).buffered()[0] == 20)
    receiver.start()
    _make(tracing, range(20, 25))
    assert tracing.shutdown(5.0), "the breaker's next trial is due in a minute, which is too late"
    assert sorted(_numbers(receiver)) == list(range(25))


def test_sampled_out_spans_are_counted(start: Callable[..., Tracing]) -> None:
    tracing = start(sampling_rate=0.0)
    _make(tracing, range(4))
    assert (tracing.statistics.spans.started, tracing.statistics.spans.sampled_out) == (0, 4)


def test_the_account_is_readable_as_metrics(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    registry = CollectorRegistry()
    tracing = start(logs_exporter="otlp")
    registry.register(tracing.statistics)
    _make(tracing, range(2))
    assert tracing.flush(60)
    text = generate_latest(registry).decode()
    for line in (
        "tracing_spans_started_total 2.0",
        'tracing_items_ended_total{signal="traces"} 2.0',
        'tracing_items_exported_total{signal="traces"} 2.0',
        'tracing_export_requests_total{code="ok",signal="traces"}',
        'tracing_breaker_state{signal="traces"} 0.0',
        'tracing_overhead_seconds_total{part="start"}',
        'tracing_queue_items{signal="logs"} 0.0',
        'tracing_export_duration_seconds_count{signal="traces"}',
    ):
        assert line in text, text
    assert receiver.asked >= 1


def test_logs_arrive_with_their_trace(receiver: Receiver, start: Callable[..., Tracing]) -> None:
    tracing = start(logs_exporter="otlp")
    assert tracing.log_handler is not None
    logger = logging.getLogger("tests.export")
    library = logging.getLogger("lean_tracing.batch_processor")
    logger.setLevel(logging.INFO)
    for one in (logger, library):
        one.addHandler(tracing.log_handler)
    try:
        with tracing.traces.span("work") as span:
            logger.info("task of %s", "ada@example.com", extra={"task.id": "7", "api_key": "hunter2"})
            try:
                raise ValueError("bad ada@example.com")
            except ValueError:
                logger.exception("failed")
            library.warning("this would feed itself")
    finally:
        for one in (logger, library):
            one.removeHandler(tracing.log_handler)
    assert tracing.flush(60)
    records = [
        record for request in receiver.log_requests() for part in request.resource_logs for scope in part.scope_logs
        for record in scope.log_records
    ]  # fmt: skip
    assert [record.severity_text for record in records] == ["INFO", "ERROR"]
    assert {record.trace_id for record in records} == {span.get_span_context().trace_id.to_bytes(16, "big")}
    attributes = {item.key: item.value.string_value for item in records[0].attributes}
    assert attributes["task.id"] == "7"
    assert attributes["api_key"] == "[redacted]"
    everything = b"".join(request.SerializeToString() for request in receiver.log_requests())
    assert b"example.com" not in everything
    assert b"hunter2" not in everything


def test_tls_with_a_private_certificate(tmp_path: Path, start: Callable[..., Tracing]) -> None:
    key, certificate = self_signed("localhost")
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate)
    receiver = Receiver()
    receiver.start(grpc.ssl_server_credentials([(key, certificate)]))
    try:
        trusting = start(endpoint=f"https://localhost:{receiver.port}", certificate=file)
        _make(trusting, range(1))
        assert trusting.flush(60)
        assert _numbers(receiver) == [0]
        doubting = start(endpoint=f"https://localhost:{receiver.port}")
        _make(doubting, range(1, 2))
        poll_until("it is refused", lambda: _account(doubting).requests["unavailable"] >= 1)
        assert _numbers(receiver) == [0]
    finally:
        receiver.stop()


def _script(receiver: Receiver, body: str) -> subprocess.Popen[str]:
    program = "\n".join(
        [
            "import os, signal, sys, threading, time",
            "from lean_tracing import TracingSettings, start_tracing",
            "tracing = start_tracing(TracingSettings.from_env())",
            body,
        ]
    )
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "TRACING_DELAY_MS": "60000"}
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_a_script_that_just_ends_has_sent_its_spans(receiver: Receiver) -> None:
    child = _script(receiver, 'for n in range(5):\n  with tracing.traces.span(f"span {n}"): pass')
    assert child.wait(30) == 0
    assert _numbers(receiver) == list(range(5))


def test_sigterm_under_load_loses_nothing(receiver: Receiver) -> None:
    body = """
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
made = [0] * 4
def work(me):
    while not stop.is_set():
        with tracing.traces.span(f"span {me}"): made[me] += 1
        time.sleep(0.0005)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
print("ready", flush=True)
for thread in threads: thread.join()
tracing.shutdown()
print(sum(made), flush=True)
"""
    child = _script(receiver, body)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    poll_until("a batch has come", lambda: len(receiver.spans()) >= 512)
    child.send_signal(signal.SIGTERM)
    made = int(child.stdout.readline())
    assert child.wait(30) == 0
    assert len(receiver.spans()) == made


def test_a_forked_child_sends_its_own_spans_and_only_those(receiver: Receiver) -> None:
    body = """
with tracing.traces.span("span 0"): pass
tracing.flush(60)
with tracing.traces.span("span 1"): pass  # waits in the parent's queue
child = os.fork()
with tracing.traces.span("span 3" if child else "span 2"): pass
if not child:
    ended = tracing.statistics.signals[0].ended
    sys.exit(0 if tracing.shutdown(10) and ended == 1 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    child = _script(receiver, body)
    assert child.wait(40) == 0
    assert sorted(_numbers(receiver)) == [0, 1, 2, 3]


def test_down_for_good_costs_bounded_memory_and_no_error(start: Callable[..., Tracing], receiver: Receiver) -> None:
    receiver.stop()
    tracing = start(buffer_bytes=1 << 20, max_queue_size=2048, max_batch_size=512)
    for number in range(30_000):
        with tracing.traces.span(f"span {number}", attributes={"noise": os.urandom(20).hex()}):
            pass
    account = _account(tracing)
    poll_until("the queue is empty", lambda: account.queued() == 0 and account.in_flight == 0)
    assert account.buffered()[2] <= 1 << 20
    assert account.unaccounted == 0
    assert account.exported == 0


def test_nothing_is_sent_while_tracing_is_off(receiver: Receiver) -> None:
    tracing = start_tracing(TracingSettings.from_env({"TRACING_ENABLED": "false"}))
    _make(tracing, range(3))
    assert tracing.flush(1)
    assert tracing.shutdown()
    assert receiver.asked == 0
