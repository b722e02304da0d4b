"""The consumer loop on Kafka's protocol: retries, dead letters, restarts; and a publisher without a broker."""

import uuid
from functools import partial

import pytest
from confluent_kafka import Producer

from lean_tracing.kafka import message_headers
from lean_tracing.testing import Recorder
from service.common import messages
from service.common.config import ServiceSettings
from service.common.errors import MalformedMessage, Unavailable
from service.common.kafka.consumer import ConsumerTiming
from service.common.kafka.publisher import KafkaPublisher
from service.common.kafka.received import Received
from service.common.messages import TaskRequest
from service.common.metrics import Metrics
from stack.polling import poll_until
from tests.support.consumer import RunningConsumer
from tests.support.topics import read_topic


def _send(kafka: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0})
    for value in values:
        producer.produce(topic, value, partition=0, headers=[("id", b"7")])
    assert producer.flush(60) == 0


def test_unavailable_delivers_the_message_again_in_order(kafka: str, recorder: Recorder) -> None:
    values: list[bytes | None] = []

    def handler(received: Received) -> str:
        values.append(received.value)
        if values.count(b"first") < 3:
            raise Unavailable("the database is unavailable")
        return "created"

    _send(kafka, "loop-retry", b"first", b"second")
    consumer = RunningConsumer(kafka, recorder, "loop-retry", handler)
    try:
        poll_until("both messages", lambda: consumer.consumed("created") == 2)
    finally:
        consumer.stop()
    assert values == [b"first", b"first", b"first", b"second"]
    assert consumer.consumed("retried") == 2


def test_poison_goes_to_the_dead_letters_and_the_next_message_is_handled(kafka: str, recorder: Recorder) -> None:
    def handler(received: Received) -> str:
        if received.value == b"poison":
            raise MalformedMessage("header status is missing")
        if received.value == b"bug":
            raise ZeroDivisionError("of ada@example.com " + "é" * 600)
        return "created"

    _send(kafka, "loop-poison", b"poison", b"bug", b"good")
    consumer = RunningConsumer(kafka, recorder, "loop-poison", handler)
    try:
        poll_until("good message", lambda: consumer.consumed("created") == 1)
        letters = read_topic(kafka, "loop-poison.dead-letter", lambda letters: len(letters) == 2)
    finally:
        consumer.stop()
    headers = {letter.value(): dict(message_headers(letter)) for letter in letters}
    assert headers[b"poison"]["dead-letter-reason"] == b"MalformedMessage: header status is missing"
    assert headers[b"poison"]["id"] == b"7"
    assert headers[b"poison"]["dead-letter-source"] == b"loop-poison/0/0"
    reason = headers[b"bug"]["dead-letter-reason"]
    assert isinstance(reason, bytes)
    assert len(reason) <= 1024
    assert reason.decode().endswith("é"), "cut between characters"
    assert "ada@example.com" not in reason.decode()
    assert "traceparent" in headers[b"bug"]
    assert consumer.consumed("dead_letter") == 2


def test_a_restarted_loop_continues_with_the_next_message(kafka: str, recorder: Recorder) -> None:
    values: list[bytes | None] = []

    def handler(received: Received) -> str:
        values.append(received.value)
        return "created"

    # After a consumer has left its group, the mock broker waits for its members for nearly a session.
    timing = ConsumerTiming(session_ms=3000)
    for value in (b"one", b"two"):
        _send(kafka, "loop-again", value)
        consumer = RunningConsumer(kafka, recorder, "loop-again", handler, timing=timing)
        poll_until(f"message {value!r}", partial(values.__contains__, value))
        consumer.stop()
    assert values == [b"one", b"two"]


def test_publishing_without_a_broker_is_unavailable_in_time(recorder: Recorder) -> None:
    settings = ServiceSettings(kafka_bootstrap_servers="127.0.0.1:1", publish_timeout_ms=200)
    publisher = KafkaPublisher(settings, recorder.traces, Metrics(), client_id="p", topics=("t",))
    publisher.start()
    try:
        body = TaskRequest(user_email="a@b.cc", user_query="?", base_url="http://x/")
        with pytest.raises(Unavailable, match="Kafka is unavailable"):
            publisher.publish(messages.new(uuid.uuid4(), body))
        with pytest.raises(Unavailable):
            publisher.ensure_topics()
    finally:
        publisher.stop()
