"""Messages that end the process, and those that wait behind them: real processes, killed."""

from __future__ import annotations

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

from service.common.errors import Rejected, Unavailable
from service.common.kafka.received import Received
from service.tracing.kafka import message_headers
from stack.polling import poll_until
from tests.process.service.test_outages import read_topic
from tests.support.brokers import Brokers, mock_brokers, send_raw
from tests.support.loop import Loop
from tests.support.service import Recorder

ROOT = Path(__file__).parents[3]


@contextmanager
def _consumer(
    brokers: Brokers, seen: Path, attempts: int = 3, max_poll_ms: int = 60_000
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.support.mortal",
            brokers.addresses,
            "topic",
            seen,
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
    assert producer.flush(10) == 0


def _seen(seen: Path) -> Counter[str]:
    return Counter(seen.read_text().splitlines()) if seen.exists() else Counter()


def _committed(addresses: str, group: str, topic: str) -> tuple[int, str]:
    consumer = Consumer({"bootstrap.servers": addresses, "group.id": group, "log_level": 0})
    try:
        (found,) = consumer.committed([TopicPartition(topic, 0)], timeout=5)
    finally:
        consumer.close()
    return found.offset, found.metadata or ""


@pytest.mark.parametrize(("message", "deaths"), [(b"killed", 3), (b"crash", 2)])
def test_a_message_that_ends_the_process_is_put_aside(message: bytes, deaths: int, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    attempts = 1 if message == b"crash" else deaths  # whose end, once it is given up, ends the process as well
    with mock_brokers() as brokers:
        # A topic of one partition; and one message of the innocent before and behind.
        _send(brokers.addresses, "topic", b"before", message, b"behind")
        ended = 0
        for _ in range(deaths):
            with _consumer(brokers, seen, attempts) as process:
                process.wait(30)
                ended += 1
        with _consumer(brokers, seen, attempts) as process:
            poll_until("the message behind", lambda: _seen(seen)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda found: len(found) == 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert ended == deaths
    found = _seen(seen)
    assert found[f"begun {message.decode()}"] == attempts
    assert found["done before"] == 1
    assert found["done behind"] == 1
    assert found[f"abandoned {message.decode()}"] == 1
    assert letter.value() == message
    reason = dict(message_headers(letter))["dead-letter-reason"]
    assert reason == b"EndedProcess: the process ended %d times while it handled this message" % deaths


def test_a_process_that_is_told_to_end_leaves_no_blame(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with mock_brokers() as brokers:
        _send(brokers.addresses, "topic", b"slow")
        with _consumer(brokers, seen) as process:
            poll_until("the message begun", lambda: _seen(seen)["begun slow"])
            assert _committed(brokers.addresses, "mortal", "topic") == (0, "unfinished=1")
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        assert _committed(brokers.addresses, "mortal", "topic") == (0, "")


def test_a_message_that_hangs_is_put_aside(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with mock_brokers() as brokers:
        _send(brokers.addresses, "topic", b"slow", b"behind")
        with _consumer(brokers, seen, attempts=1, max_poll_ms=1100) as process:
            process.wait(30)
        assert _committed(brokers.addresses, "mortal", "topic") == (0, "unfinished=1")
        with _consumer(brokers, seen, attempts=1) as process:
            poll_until("the message behind", lambda: _seen(seen)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda found: len(found) == 1)
    assert letter.value() == b"slow"
    assert _seen(seen)["begun slow"] == 1


def test_header_names_that_are_no_text_end_no_process(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with mock_brokers() as brokers:
        send_raw(brokers.addresses, "topic", b"odd", [(b"\xff\xfe", b"x"), (b"id", b"7")])
        send_raw(brokers.addresses, "topic", b"bad", [(b"id", b"7"), (b"task-\xe9", b"x")])
        _send(brokers.addresses, "topic", b"behind")
        with _consumer(brokers, seen):
            poll_until("the message behind", lambda: _seen(seen)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda found: len(found) == 1)
    assert _seen(seen) == {
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
    seen = tmp_path / "seen"
    with mock_brokers() as brokers:
        send_raw(brokers.addresses, "topic", b"headers", [(b"crash", b"x")])
        _send(brokers.addresses, "topic", b"behind")
        for _ in range(2):
            with _consumer(brokers, seen, attempts=1) as process:
                process.wait(30)
        with _consumer(brokers, seen, attempts=1):
            poll_until("the message behind", lambda: _seen(seen)["done behind"])
            (letter,) = read_topic(brokers.addresses, "topic.dead-letter", lambda found: len(found) == 1)
    assert letter.value() == b"headers"
    assert dict(message_headers(letter))["dead-letter-source"] == b"topic/0/0"


def test_a_process_killed_while_idle_leaves_no_blame(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with mock_brokers() as brokers:
        _send(brokers.addresses, "topic", b"good")
        with _consumer(brokers, seen) as process:
            poll_until("the message done", lambda: _seen(seen)["done good"])
            poll_until("the commit", lambda: _committed(brokers.addresses, "mortal", "topic") == (1, ""))
            process.kill()


def test_an_outage_is_no_fault_of_a_message(kafka: str, recorder: Recorder) -> None:
    away = True

    def handler(received: Received) -> str:
        if away:
            raise Unavailable("the database is unavailable")
        return "done"

    _send(kafka, "poison-outage", b"good")
    loop = Loop(kafka, recorder, "poison-outage", handler)
    try:
        poll_until("retries", lambda: loop.consumed("retried") >= 4)
        poll_until(
            "no blame", lambda: _committed(kafka, "group-poison-outage", "poison-outage") == (0, ""), every=0.001
        )
        away = False
        poll_until("the message", lambda: loop.consumed("done") == 1)
    finally:
        loop.stop()
    assert _committed(kafka, "group-poison-outage", "poison-outage") == (1, "")


class _Panic(BaseException):
    """As Rust's extensions raise."""


def test_whatever_a_handler_raises_the_loop_goes_on(kafka: str, recorder: Recorder) -> None:
    errors = {
        str(error).encode(): error for error in (SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError, _Panic)
    }
    told: list[str] = []

    def recurse() -> str:
        return recurse()

    def handler(received: Received) -> str:
        if received.value in errors:
            raise errors[received.value]
        return recurse() if received.value == b"recursion" else "done"

    def abandon(_: Received, reason: str) -> None:
        told.append(reason)
        raise _Panic

    _send(kafka, "poison-errors", *errors, b"recursion", b"good")
    loop = Loop(kafka, recorder, "poison-errors", handler, abandon)
    try:
        poll_until("the message behind", lambda: loop.consumed("done") == 1)
    finally:
        loop.stop()
    assert loop.consumed("dead_letter") == len(errors) + 1
    assert told == ["an unexpected error happened"] * (len(errors) + 1)


def test_a_loop_that_fails_begins_again(kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [_Panic(), ZeroDivisionError(), None]
    _send(kafka, "poison-loop", b"good")
    loop = Loop(kafka, recorder, "poison-loop", lambda _: "done")
    assigned = loop.loop._on_assign

    def fails(*arguments: object) -> None:
        if failures and (failure := failures.pop(0)):
            raise failure
        assigned(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.loop, "_on_assign", fails)
    try:
        poll_until("the message", lambda: loop.consumed("done") == 1)
        assert loop.loop.alive
    finally:
        loop.stop()


def test_a_report_that_fails_holds_up_no_other(kafka: str, recorder: Recorder) -> None:
    loop = Loop(kafka, recorder, "poison-report", lambda _: "done")

    def fails(*_: object) -> None:
        raise _Panic

    try:
        poll_until("topics", partial(_made, loop))
        loop.publisher._tracing.produce("poison-report", b"first", on_delivery=fails)
        _publish(loop.publisher._send_and_wait, "poison-report")
    finally:
        loop.stop()


def _publish(send: Callable[..., None], topic: str) -> None:
    send(topic, b"second", None, ())


def _made(loop: Loop) -> bool:
    try:
        loop.publisher.ensure_topics()
    except Unavailable:
        return False
    return True


def test_a_letter_that_no_one_takes_holds_up_no_message(
    kafka: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(received: Received) -> str:
        if received.value == b"bad":
            raise Rejected("no")
        return "done"

    _send(kafka, "poison-letter", b"bad", b"good")
    loop = Loop(kafka, recorder, "poison-letter", handler)

    def refuses(message: Message, reason: str) -> None:
        raise Rejected("Kafka does not take the message (MSG_SIZE_TOO_LARGE)")

    monkeypatch.setattr(loop.publisher, "dead_letter", refuses)
    try:
        poll_until("the message behind", lambda: loop.consumed("done") == 1)
    finally:
        loop.stop()


def test_a_message_that_was_put_aside_does_not_come_again(kafka: str, recorder: Recorder) -> None:
    def handler(_: Received) -> str:
        raise Rejected("no")

    _send(kafka, "poison-last", b"last")
    loop = Loop(kafka, recorder, "poison-last", handler)
    try:
        # Though nothing comes after it, and before the consumer is stopped.
        poll_until("the commit", lambda: _committed(kafka, "group-poison-last", "poison-last") == (1, ""))
    finally:
        loop.stop()
