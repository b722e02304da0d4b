"""Messages that end the process, and the messages behind them: with real processes that are killed."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from lean_tracing.kafka import message_headers
from lean_tracing.testing import Recorder
from service.common.errors import Rejected, Unavailable
from service.common.kafka.received import Received
from stack.polling import poll_until
from tests.support.brokers import Brokers, mock_brokers, send_raw
from tests.support.consumer import RunningConsumer
from tests.support.service_process import ROOT
from tests.support.topics import read_topic


@contextmanager
def _consumer(
    brokers: Brokers, log: Path, attempts: int = 3, max_poll_ms: int = 60_000
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.support.crashing_consumer",
            brokers.addresses,
            "topic",
            log,
            str(attempts),
            str(max_poll_ms),
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _send(addresses: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": addresses, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(60) == 0


def _entries(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def _committed(addresses: str, group: str, topic: str) -> tuple[int, str]:
    client = Consumer({"bootstrap.servers": addresses, "group.id": group, "log_level": 0})
    try:
        (position,) = client.committed([TopicPartition(topic, 0)], timeout=5)
    finally:
        client.close()
    return position.offset, position.metadata or ""


@pytest.mark.parametrize(("message", "deaths"), [(b"killed", 3), (b"crash", 2)])
def test_a_message_that_ends_the_process_is_dead_lettered(message: bytes, deaths: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    attempts = 1 if message == b"crash" else deaths  # its `abandon` ends the process as well
    with mock_brokers() as brokers:
        # A topic of one partition, with a harmless message before and after.
        _send(brokers.addresses, "topic", b"before", message, b"behind")
        ended = 0
        for _ in range(deaths):
            with _consumer(brokers, log, attempts) as process:
                process.wait(30)
                ended += 1
        with _consumer(brokers, log, attempts) as process:
            poll_until("the message behind", lambda: _entries(log)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda letters: len(letters) == 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert ended == deaths
    entries = _entries(log)
    assert entries[f"begun {message.decode()}"] == attempts
    assert entries["done before"] == 1
    assert entries["done behind"] == 1
    assert entries[f"abandoned {message.decode()}"] == 1
    assert letter.value() == message
    reason = dict(message_headers(letter))["dead-letter-reason"]
    assert reason == b"EndedProcess: the process ended %d times while it handled this message" % deaths


def test_an_attempt_does_not_count_when_the_process_is_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with mock_brokers() as brokers:
        _send(brokers.addresses, "topic", b"slow")
        with _consumer(brokers, log) as process:
            poll_until("the message begun", lambda: _entries(log)["begun slow"])
            assert _committed(brokers.addresses, "crashing", "topic") == (0, "unfinished=1")
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        assert _committed(brokers.addresses, "crashing", "topic") == (0, "")


def test_a_message_that_hangs_is_dead_lettered(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with mock_brokers() as brokers:
        _send(brokers.addresses, "topic", b"slow", b"behind")
        with _consumer(brokers, log, attempts=1, max_poll_ms=1100) as process:
            process.wait(30)
        assert _committed(brokers.addresses, "crashing", "topic") == (0, "unfinished=1")
        with _consumer(brokers, log, attempts=1) as process:
            poll_until("the message behind", lambda: _entries(log)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda letters: len(letters) == 1)
    assert letter.value() == b"slow"
    assert _entries(log)["begun slow"] == 1


def test_header_names_that_are_no_text_do_not_end_the_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with mock_brokers() as brokers:
        send_raw(brokers.addresses, "topic", b"odd", [(b"\xff\xfe", b"x"), (b"id", b"7")])
        send_raw(brokers.addresses, "topic", b"bad", [(b"id", b"7"), (b"task-\xe9", b"x")])
        _send(brokers.addresses, "topic", b"behind")
        with _consumer(brokers, log):
            poll_until("the message behind", lambda: _entries(log)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda letters: len(letters) == 1)
    assert _entries(log) == {
        "begun odd": 1,
        "done odd": 1,
        "begun bad": 1,
        "abandoned bad": 1,
        "begun behind": 1,
        "done behind": 1,
    }
    assert letter.value() == b"bad"
    assert dict(message_headers(letter))["dead-letter-source"] == b"topic/0/1"


def test_headers_that_end_the_process_do_not_hold_up_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with mock_brokers() as brokers:
        send_raw(brokers.addresses, "topic", b"headers", [(b"crash", b"x")])
        _send(brokers.addresses, "topic", b"behind")
        for _ in range(2):
            with _consumer(brokers, log, attempts=1) as process:
                process.wait(30)
        with _consumer(brokers, log, attempts=1):
            poll_until("the message behind", lambda: _entries(log)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda letters: len(letters) == 1)
    assert letter.value() == b"headers"
    assert dict(message_headers(letter))["dead-letter-source"] == b"topic/0/0"


def test_no_attempt_counts_when_an_idle_process_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with mock_brokers() as brokers:
        _send(brokers.addresses, "topic", b"good")
        with _consumer(brokers, log) as process:
            poll_until("the message done", lambda: _entries(log)["done good"])
            poll_until("the commit", lambda: _committed(brokers.addresses, "crashing", "topic") == (1, ""))
            process.kill()


def test_attempts_during_an_outage_do_not_count(kafka: str, recorder: Recorder) -> None:
    group = ("group-poison-outage", "poison-outage")
    is_available = False

    def handler(received: Received) -> str:
        if not is_available:
            raise Unavailable("the database is unavailable")
        return "done"

    _send(kafka, "poison-outage", b"good")
    consumer = RunningConsumer(kafka, recorder, "poison-outage", handler)
    try:
        poll_until("retries", lambda: consumer.consumed("retried") >= 4)
        poll_until(
            "a reset count",
            lambda: _committed(kafka, *group) == (0, ""),
            every=0.001,
        )
        is_available = True
        poll_until("the message", lambda: consumer.consumed("done") == 1)
    finally:
        consumer.stop()
    assert _committed(kafka, *group) == (1, "")


class _Panic(BaseException):
    """Behaves like the panics of extensions written in Rust."""


def test_the_loop_goes_on_after_any_exception_of_a_handler(kafka: str, recorder: Recorder) -> None:
    errors = {
        str(error).encode(): error for error in (SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError, _Panic)
    }
    reasons: list[str] = []

    def recurse() -> str:
        return recurse()

    def handler(received: Received) -> str:
        if received.value in errors:
            raise errors[received.value]
        return recurse() if received.value == b"recursion" else "done"

    def abandon(_: Received, reason: str) -> None:
        reasons.append(reason)
        raise _Panic

    _send(kafka, "poison-errors", *errors, b"recursion", b"good")
    consumer = RunningConsumer(kafka, recorder, "poison-errors", handler, abandon)
    try:
        poll_until("the message behind", lambda: consumer.consumed("done") == 1)
    finally:
        consumer.stop()
    assert consumer.consumed("dead_letter") == len(errors) + 1
    assert reasons == ["an unexpected error happened"] * (len(errors) + 1)


def test_a_loop_that_fails_starts_again(kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [_Panic(), ZeroDivisionError(), None]
    _send(kafka, "poison-loop", b"good")
    consumer = RunningConsumer(kafka, recorder, "poison-loop", lambda _: "done")
    assigned = consumer.loop._on_assign

    def fails(*arguments: object) -> None:
        if failures and (failure := failures.pop(0)):
            raise failure
        assigned(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(consumer.loop, "_on_assign", fails)
    try:
        poll_until("the message", lambda: consumer.consumed("done") == 1)
        assert consumer.loop.alive
    finally:
        consumer.stop()


def test_a_report_that_fails_does_not_block_others(kafka: str, recorder: Recorder) -> None:
    consumer = RunningConsumer(kafka, recorder, "poison-report", lambda _: "done")

    def fails(*_: object) -> None:
        raise _Panic

    try:
        poll_until("topics", partial(_has_topics, consumer))
        consumer.publisher._tracing.produce("poison-report", b"first", on_delivery=fails)
        _publish(consumer.publisher._send_and_wait, "poison-report")
    finally:
        consumer.stop()


def _publish(send: Callable[..., None], topic: str) -> None:
    send(topic, b"second", None, ())


def _has_topics(consumer: RunningConsumer) -> bool:
    try:
        consumer.publisher.ensure_topics()
    except Unavailable:
        return False
    return True


def test_a_dead_letter_that_kafka_rejects_blocks_no_message(
    kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(received: Received) -> str:
        if received.value == b"bad":
            raise Rejected("no")
        return "done"

    _send(kafka, "poison-letter", b"bad", b"good")
    consumer = RunningConsumer(kafka, recorder, "poison-letter", handler)

    def refuses(message: Message, reason: str) -> None:
        raise Rejected("Kafka does not take the message (MSG_SIZE_TOO_LARGE)")

    monkeypatch.setattr(consumer.publisher, "dead_letter", refuses)
    try:
        poll_until("the message behind", lambda: consumer.consumed("done") == 1)
    finally:
        consumer.stop()


def test_a_dead_lettered_message_is_not_delivered_again(kafka: str, recorder: Recorder) -> None:
    def handler(_: Received) -> str:
        raise Rejected("no")

    _send(kafka, "poison-last", b"last")
    consumer = RunningConsumer(kafka, recorder, "poison-last", handler)
    try:
        # Committed although no message follows, and before the consumer is stopped.
        poll_until("the commit", lambda: _committed(kafka, "group-poison-last", "poison-last") == (1, ""))
    finally:
        consumer.stop()
