"""Hostile inputs at each boundary: no crash, no hang, no unbounded memory, no valid message lost."""

import contextlib
import json
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import httpx
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.faults.journal import Journal
from checks.harness.collector import TOKEN
from checks.harness.collector_with_store import running_collector
from checks.harness.receiver import receiving
from checks.security.access import BODY, bearer
from checks.security.mutation import Mutator
from checks.security.outcome import Outcome
from checks.security.services import SERVICE_TOKEN, STACK_KEY, Services
from contracts.endpoints import OTLP_MAX_MIB
from contracts.errors import UserError
from contracts.http import TASKS
from contracts.topics import STATUS_TOPIC
from lean_tracing import Redactor, SettingsError, TracingSettings
from lean_tracing.otlp_exporter import TRACES
from lean_tracing.propagation import Propagator
from service.common import messages
from service.common.messages import CrawlRequest, TaskRequest
from service.crawler.config import CrawlerSettings
from service.gateway.config import GatewaySettings
from service.task_manager.config import TaskManagerSettings
from stack.polling import CheckFailure, poll_until

_SECONDS: Final = 200.0
"""Each boundary ends after this time, also if not all inputs were tried."""
_HANG_SECONDS: Final = 10.0
"""An input that takes longer hangs."""
_MORE_MIB: Final = 200
"""Memory that a process may have in addition after all inputs."""
_VALID_EVERY: Final = 500
"""Inputs between two valid ones, which must have their effect."""
_READ_EVERY: Final = 5_000
_READ_SECONDS: Final = 120.0
"""So many messages are consumed within this time, also on a busy machine."""
_TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TASK: Final = TaskRequest(user_email="ada@example.com", user_query="?", base_url="http://site.example/")


def fuzz_services(services: Services, count: int, seed: int) -> list[Outcome]:
    """Try hostile inputs at the boundaries of the services and of the library, without the Collector.

    Args:
        services: the running services.
        count: trace headers; the slower a boundary is, the fewer inputs it gets, 1.7 times as many in all.
        seed: decides the inputs.
    """
    return [
        _headers(count, seed),
        _settings(count // 10, seed),
        _journal(count // 10, seed),
        _http(services, count // 10, seed),
        _messages(services, count * 4 // 10, seed),
    ]


def _numbers(count: int) -> Iterator[int]:
    """Numbers from 0, until the time is over."""
    end = time.monotonic() + _SECONDS
    for number in range(count):
        if time.monotonic() > end:
            return
        yield number


def _try(outcome: Outcome, call: Callable[[], object], *, allowed: type[Exception] | tuple[()] = ()) -> None:
    started = time.monotonic()
    try:
        call()
        error = None
    except allowed:
        error = None
    except Exception as failure:  # what the check looks for
        error = f"{type(failure).__name__}: {failure}"[:200]
    if error is None and time.monotonic() - started > _HANG_SECONDS:
        error = "hangs"
    outcome.add(error)


# --- in this process --------------------------------------------------------------------------------------------------


def _headers(count: int, seed: int) -> Outcome:
    outcome = Outcome(attack="hostile trace headers")
    mutator = Mutator(
        seed,
        [
            _TRACEPARENT.encode(),
            b"vendor=1,other@system=abc",
            b"user=ada,tenant=7;secret=1",
            b"0af7651916cd43dd8448eb211c80319c",
            str(uuid.UUID(int=1)).encode(),
        ],
    )
    names = ["traceparent", "tracestate", "baggage", "x-correlation-id", "TraceParent"]
    propagator = Propagator(redactor=Redactor("a key of the check"), baggage_entries=("user", "tenant"))

    def carry(sent: list[tuple[str, bytes]]) -> None:
        over_http = propagator.from_http([(name.encode(), value) for name, value in sent])
        for context in (over_http, propagator.from_kafka([*sent])):
            for value in propagator.inject(context).values():
                assert value.isascii()
                assert value.isprintable()
                assert len(value) <= 8192

    for _ in _numbers(count):
        sent = [(mutator.random.choice(names), mutator.next()) for _ in range(mutator.random.randint(1, 3))]
        _try(outcome, partial(carry, sent))
    return outcome


def _settings(count: int, seed: int) -> Outcome:
    outcome = Outcome(attack="hostile settings")
    models = (TracingSettings, GatewaySettings, TaskManagerSettings, CrawlerSettings)
    samples = [
        b"true", b"0.5", b"8080", b"http://collector:4317", b"a=b,c=d", b"GET /a=0.1;topic:*=1", b"sqlite:///x.db",
        b"kafka:9092", b"INFO", b"/tmp", b"tracecontext,baggage", b"1000", b"user:a:0123456789abcdef",
    ]  # fmt: skip
    mutator = Mutator(seed, samples)
    for _ in _numbers(count):
        model = mutator.random.choice(models)
        names = [model.variable(field) for field in model.model_fields]
        chosen = mutator.random.sample(names, mutator.random.randint(1, 3))
        # What an environment can hold: text without NUL.
        environ = {
            name: mutator.next()[:100_000].decode("utf-8", "surrogateescape").replace("\0", "") for name in chosen
        }
        _try(outcome, partial(model.from_env, environ), allowed=SettingsError)
    return outcome


def _journal(count: int, seed: int) -> Outcome:
    outcome = Outcome(attack="damaged journal of faults")
    with TemporaryDirectory(prefix="fuzz-") as directory:
        path = Path(directory) / "fault.json"
        journal = Journal(path)
        journal.add("a-fault", {"kind": "scale", "name": "kafka", "replicas": 1})
        mutator = Mutator(seed, [path.read_bytes()])
        for _ in _numbers(count):
            path.write_bytes(mutator.next())
            _try(outcome, journal.read, allowed=UserError)
    return outcome


# --- the services -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bounded(outcome: Outcome, processes: Mapping[str, int]) -> Iterator[None]:
    """Add processes that end, or whose memory grows, to the outcome. processes: process ids by name."""
    at_start = {name: _resident_mib(pid) for name, pid in processes.items()}
    yield
    for name, pid in processes.items():
        try:
            growth = _resident_mib(pid) - at_start[name]
        except OSError:
            outcome.successes.append(f"{name} ended")
            continue
        outcome.notes = f"{outcome.notes} {name} {growth:+.0f} MiB".strip()
        if growth > _MORE_MIB:
            outcome.successes.append(f"{name} needs {growth:.0f} MiB more")


def _resident_mib(pid: int) -> float:
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if match is None:  # a process that has ended, and that its parent has not waited for
        raise ProcessLookupError(pid)
    return int(match[1]) / 1024


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
        for number in _numbers(count):
            port, mutator = mutators[number % 2]
            outcome.add(_exchange(port, mutator.next()))
            if number % _VALID_EVERY == 0:
                outcome.add(_submitted(client))
    return outcome


def _samples(headers: Mapping[str, str]) -> list[bytes]:
    """Whole requests."""
    body = json.dumps(BODY)
    chunk = f"{len(body):x}\r\n{body}"
    lines = {"Host": "x", **headers, "traceparent": _TRACEPARENT, "baggage": "user=ada", "Connection": "close"}
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
        with socket.create_connection(("127.0.0.1", port), timeout=_HANG_SECONDS) as connection:
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
    headers = Mutator(seed, [b"new", b"completed", b"error", str(task_id).encode(), _TRACEPARENT.encode(), b"user=ada"])
    names = ["status", "id", "STATUS", "timestamp", "traceparent", "tracestate", "baggage", "x-correlation-id", "x"]
    random = bodies.random
    producer = Producer({"bootstrap.servers": services.brokers, "log_level": 0, "message.max.bytes": 2_000_000})
    tasks: list[uuid.UUID] = []
    with bounded(outcome, pids(services)), httpx.Client(base_url=services.task_manager, timeout=30) as client:
        for number in _numbers(count):
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
            if number % _VALID_EVERY == 0:
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


# --- the Collector ----------------------------------------------------------------------------------------------------


def fuzz_collector(count: int, seed: int) -> Outcome:
    """Send hostile OTLP requests to a Collector, and valid ones between them."""
    outcome = Outcome(attack="hostile OTLP requests")
    mutator = Mutator(seed, [_request("sample"), _request("GET /api/tasks/{id}")])
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(receiving(largest=OTLP_MAX_MIB << 20))
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="fuzz-")))
        collector = stack.enter_context(running_collector(store, directory / "collector", queue_size=100_000))
        channel = stack.enter_context(grpc.insecure_channel(collector.grpc))
        export = channel.unary_unary(TRACES)
        metadata: Any = (("authorization", f"Bearer {TOKEN}"),)
        valid: list[bytes] = []
        with bounded(outcome, {"collector": collector.pid}):
            for number in _numbers(count):
                try:
                    export(mutator.next(), timeout=_HANG_SECONDS, metadata=metadata)
                    outcome.add(None)
                except grpc.RpcError as error:
                    code = error.code()
                    is_bad = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                    outcome.add(code.name if is_bad else None)
                if number % _VALID_EVERY == 0:
                    valid.append(f"valid {number} of {seed}".encode())
                    export(_request(valid[-1].decode()), timeout=_HANG_SECONDS, metadata=metadata)
            try:
                poll_until("the valid spans", lambda: _stored(store.requests[TRACES], valid), seconds=60)
            except CheckFailure as error:
                outcome.successes.append(f"lost: {error}")
    return outcome


def _stored(requests: list[bytes], names: list[bytes]) -> bool:
    content = b"\n".join(requests[:])
    return all(name in content for name in names)


def _request(name: str) -> bytes:
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    part.resource.attributes.add(key="service.name").value.string_value = "fuzz"
    scope = part.scope_spans.add()
    scope.scope.name = "fuzz"
    span = scope.spans.add(
        trace_id=b"\1" * 16, span_id=b"\2" * 8, name=name, kind=2, start_time_unix_nano=1, end_time_unix_nano=2
    )
    span.attributes.add(key="http.route").value.string_value = "/api/tasks"
    span.attributes.add(key="list").value.array_value.values.add().int_value = 7
    span.attributes.add(key="map").value.kvlist_value.values.add(key="a").value.double_value = 0.5
    event = span.events.add(name="exception", time_unix_nano=1)
    event.attributes.add(key="exception.message").value.string_value = "no mailbox"
    return bytes(request.SerializeToString())
