"""Hostile inputs at the services: no crash, no hang, no unbounded memory, no valid message lost."""

import contextlib
import json
import re
import socket
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import httpx
from confluent_kafka import Producer

from checks.security.access import BODY, bearer
from checks.security.fuzz_library import TRACEPARENT, fuzz_headers, fuzz_journal, fuzz_settings
from checks.security.fuzz_limits import HANG_SECONDS, VALID_EVERY, bounded, numbers
from checks.security.mutation import Mutator
from checks.security.outcome import Outcome
from checks.security.services import SERVICE_TOKEN, STACK_KEY, Services
from contracts.http import TASKS
from contracts.topics import STATUS_TOPIC
from service.common import messages
from service.common.messages import CrawlRequest, TaskRequest
from stack.polling import CheckFailure, poll_until

_READ_EVERY: Final = 5_000
_READ_SECONDS: Final = 120.0
"""So many messages are consumed within this time, also on a busy machine."""
_TASK: Final = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


def fuzz_services(services: Services, count: int, seed: int) -> list[Outcome]:
    """Try hostile inputs at the boundaries of the services and of the library, without the Collector.

    Args:
        services: the running services.
        count: trace headers; the slower a boundary is, the fewer inputs it gets, 1.7 times as many in all.
        seed: decides the inputs.
    """
    return [
        fuzz_headers(count, seed),
        fuzz_settings(count // 10, seed),
        fuzz_journal(count // 10, seed),
        _http(services, count // 10, seed),
        _messages(services, count * 4 // 10, seed),
    ]


def pids(services: Services) -> dict[str, int]:
    """Return the process ids of the services by name."""
    return dict(zip(("gateway", "task-manager"), (process.pid for process in services.processes), strict=True))


def _http(services: Services, count: int, seed: int) -> Outcome:
    outcome = Outcome(attack="hostile HTTP requests")
    targets = [
        (urlsplit(services.gateway).port or 0, bearer(STACK_KEY)),
        (
            urlsplit(services.task_manager).port or 0,
            {**bearer(SERVICE_TOKEN), "x-caller": "a", "x-caller-role": "user"},
        ),
    ]
    mutators = [(port, Mutator(seed, _samples(headers))) for port, headers in targets]
    with bounded(outcome, pids(services)), httpx.Client(base_url=services.gateway, timeout=30) as client:
        for number in numbers(count):
            port, mutator = mutators[number % 2]
            outcome.add(_exchange(port, mutator.next()))
            if number % VALID_EVERY == 0:
                outcome.add(_submitted(client))
    return outcome


def _samples(headers: Mapping[str, str]) -> list[bytes]:
    """Whole requests."""
    body = json.dumps(BODY)
    chunk = f"{len(body):x}\r\n{body}"
    lines = {"Host": "x", **headers, "traceparent": TRACEPARENT, "baggage": "user=ada", "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    post = f"{head}Content-Type: application/json\r\n"
    return [
        f"GET {TASKS}?limit=10&status=new HTTP/1.1\r\n{head}\r\n".encode(),
        f"GET {TASKS}/{uuid.UUID(int=7)} HTTP/1.1\r\n{head}\r\n".encode(),
        f"POST {TASKS} HTTP/1.1\r\n{post}Content-Length: {len(body)}\r\nIdempotency-Key: a\r\n\r\n{body}".encode(),
        f"POST {TASKS} HTTP/1.1\r\n{post}Transfer-Encoding: chunked\r\n\r\n{chunk}\r\n0\r\n\r\n".encode(),
    ]


def _exchange(port: int, request: bytes) -> str | None:
    """Send the bytes; return what is wrong with the answer. A closed connection is an answer to what is no request."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(64)
    except TimeoutError:
        return f"hangs: {request[:100]!r}"
    except ConnectionRefusedError:
        return "the service does not listen"
    except OSError:  # it closed the connection while the request was sent
        return None
    status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return f"status {status[1].decode()}: {request[:100]!r}" if status and status[1] >= b"500" else None


def _submitted(client: httpx.Client) -> str | None:
    try:
        return None if client.post(TASKS, json=BODY, headers=bearer(STACK_KEY)).is_success else "a valid request fails"
    except httpx.HTTPError as error:
        return f"a valid request fails: {type(error).__name__}"


def _messages(services: Services, count: int, seed: int) -> Outcome:
    outcome = Outcome(attack="hostile Kafka messages")
    task_id = uuid.UUID(int=7)
    valid = [
        messages.new(task_id, _TASK),
        messages.completed(CrawlRequest(id=task_id, task=_TASK), {"title": "page"}),
        messages.failed(CrawlRequest(id=task_id, task=_TASK), "refused"),
    ]
    bodies = Mutator(seed, [message.value for message in valid])
    headers = Mutator(seed, [b"new", b"completed", b"error", str(task_id).encode(), TRACEPARENT.encode(), b"user=ada"])
    names = ["status", "id", "STATUS", "timestamp", "traceparent", "tracestate", "baggage", "x-correlation-id", "x"]
    random = bodies.random
    producer = Producer({"bootstrap.servers": services.brokers, "log_level": 0, "message.max.bytes": 2_000_000})
    tasks: list[uuid.UUID] = []
    with bounded(outcome, pids(services)), httpx.Client(base_url=services.task_manager, timeout=30) as client:
        for number in numbers(count):
            base = random.choice(valid)
            sent = list(base.headers)
            for _ in range(random.choice((0, 0, 1, 3))):
                sent[random.randrange(len(sent)) :] = [(random.choice(names), headers.next())]
            key = random.choice([base.key, None, b"", headers.next()[:1000]])
            body = random.choice([None, base.value, bodies.next(), bodies.next()])
            with contextlib.suppress(BufferError):
                producer.produce(STATUS_TOPIC, body, key=key, headers=[*sent])
                outcome.count += 1
            if number % 100 == 0:
                producer.flush(60)
            if number % VALID_EVERY == 0:
                tasks.append(uuid.UUID(int=random.getrandbits(128), version=4))
                _produce_valid(producer, tasks[-1])
            # One partition: the last valid message is read after all others.
            if number % _READ_EVERY == 0 and not _are_read(client, producer, tasks[-1:], outcome):
                break
        _are_read(client, producer, tasks, outcome)
    return outcome


def _are_read(client: httpx.Client, producer: Producer, tasks: list[uuid.UUID], outcome: Outcome) -> bool:
    """Whether the messages of these tasks have had their effect, at the end of the messages before them."""
    producer.flush(60)
    try:
        for task in tasks:
            poll_until("a valid message", partial(_is_completed, client, task), seconds=_READ_SECONDS)
    except CheckFailure as error:
        outcome.successes.append(f"lost: {error}")
        return False
    return True


def _produce_valid(producer: Producer, task: uuid.UUID) -> None:
    for message in (
        messages.new(task, _TASK, owner="key:stack"),
        messages.completed(CrawlRequest(id=task, task=_TASK), {"title": "page"}),
    ):
        producer.produce(message.topic, message.value, key=message.key, headers=[*message.headers])


def _is_completed(client: httpx.Client, task: uuid.UUID) -> bool:
    headers = {**bearer(SERVICE_TOKEN), "x-caller": "key:stack", "x-caller-role": "support"}
    answer = client.get(f"{TASKS}/{task}", headers=headers)
    return answer.is_success and answer.json()["status"] == "completed"
