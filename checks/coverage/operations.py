"""The operations: what is done, how the ledger sees its effect, and which trace follows from that."""

from __future__ import annotations

import base64
import itertools
import json
import random
import secrets
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from checks.coverage import expected
from checks.coverage.expected import Step

TOPIC: Final = "task-status"
CRAWL_TOPIC: Final = "requests-web-crawl"
DEAD_LETTERS: Final = "task-status.dead-letter"

Effect = Literal["answered", "completed", "error", "dead letter", "consumed"]
"""What the ledger waits for: the answer alone; the task's row; a record among the dead letters; the group's offset.

Whether a message that is `consumed` was put aside is for the services to decide, and for the ledger to find out.
"""


@dataclass(frozen=True, kw_only=True)
class Message:
    """To be written onto `task-status`; headers without the trace's context."""

    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    key: str


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """To be sent to the gateway; `status` is the answer that the ledger must see."""

    method: str
    path: str
    status: int
    body: dict[str, Any] | None = None
    key: str | None = None
    """Idempotency-Key."""


@dataclass(kw_only=True)
class Operation:
    """One line of the ledger.

    `trace_id` is None until known: where no usable context is sent, a service begins the trace, and the ledger learns
    its id from the answer or from the records that the services write.
    """

    number: int
    kind: str
    act: HttpRequest | Message
    effect: Effect
    trace: Step
    context: tuple[tuple[str, bytes | None], ...]
    trace_id: str | None
    parent_id: str
    task_id: str | None = None
    malformed: bool = False
    placed: str | None = None

    def wire(self) -> dict[str, Any]:
        """The message, as the agent takes it."""
        assert isinstance(self.act, Message)
        headers = (*self.act.headers, *self.context)
        return {
            "topic": TOPIC,
            "value": _base64(self.act.value),
            "key": self.act.key,
            "headers": [[name, _base64(value)] for name, value in headers],
        }


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


@dataclass(kw_only=True)
class World:
    """What operations are made from: addresses as the crawler sees them, and the tasks that have reached their end."""

    page_base: str
    chance: random.Random
    finished: list[str] = field(default_factory=list)
    requests: list[HttpRequest] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    """What brought tasks to their end, and may be sent again."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def finish(self, operation: Operation) -> None:
        """The operation's task has reached its end."""
        assert operation.task_id is not None
        self.finished.append(operation.task_id)
        if isinstance(operation.act, Message):
            self.messages.append(operation.act)
        else:
            self.requests.append(operation.act)

    def body(self, page: str = "/demo", **changes: Any) -> dict[str, Any]:
        """A task as a user submits it."""
        number = self.chance.randrange(1000)
        return {
            "user_email": f"user{number}@example.com",
            "user_query": f"question {number}",
            "base_url": f"{self.page_base}{page}",
            **changes,
        }


def _operation(
    world: World,
    kind: str,
    act: HttpRequest | Message,
    effect: Effect,
    trace: Step,
    *,
    task_id: str | None = None,
    context: Sequence[tuple[str, bytes | None]] | None = None,
    malformed: bool = False,
) -> Operation:
    """context: what is sent in place of a good one; the service then begins a trace of its own."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    good = (("traceparent", f"00-{trace_id}-{span_id}-01".encode()),)
    return Operation(
        number=next(world.numbers),
        kind=kind,
        act=act,
        effect=effect,
        trace=trace,
        context=good if context is None else tuple(context),
        trace_id=trace_id if context is None else None,
        parent_id=span_id if context is None else "",
        task_id=task_id,
        malformed=malformed,
    )


def _post(world: World, kind: str, body: dict[str, Any], status: int, effect: Effect, trace: Step) -> Operation:
    act = HttpRequest(method="POST", path="/api/tasks", status=status, body=body, key=secrets.token_hex(8))
    return _operation(world, kind, act, effect, trace)


def _get(world: World, kind: str, path: str, status: int, trace: Step) -> Operation:
    return _operation(world, kind, HttpRequest(method="GET", path=path, status=status), "answered", trace)


def _message(status: str | None, task_id: str | None, body: Any, key: str | None = None) -> Message:
    headers: list[tuple[str, bytes | None]] = [("timestamp", b"2026-01-01T00:00:00.000Z")]
    if status is not None:
        headers.append(("status", status.encode()))
    if task_id is not None:
        headers.append(("id", task_id.encode()))
    value = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return Message(value=value, headers=tuple(headers), key=key or task_id or secrets.token_hex(4))


def _create(world: World) -> Operation:
    return _post(
        world, "create", world.body(), 202, "completed", expected.submitted(expected.new_message(expected.DEMO_PAGE))
    )


def _create_failing(world: World) -> Operation:
    body = world.body("/api/nowhere")
    return _post(
        world, "create, page fails", body, 202, "error", expected.submitted(expected.new_message(expected.NO_PAGE))
    )


def _create_invalid(world: World) -> Operation:
    wrong: list[dict[str, Any]] = [{"user_email": "nobody"}, {"base_url": "ftp://x"}, {"user_query": ""}, {"more": 1}]
    body = world.body(**world.chance.choice(wrong))
    return _post(world, "create, invalid", body, 422, "answered", expected.REFUSED)


def _read(world: World) -> Operation:
    return _get(world, "read", f"/api/tasks/{world.chance.choice(world.finished)}", 200, expected.READ)


def _read_unknown(world: World) -> Operation:
    return _get(world, "read, unknown", f"/api/tasks/{uuid.uuid4()}", 404, expected.READ)


def _read_invalid(world: World) -> Operation:
    return _get(world, "read, no id", "/api/tasks/no-id", 422, expected.BAD_ID)


def _list(world: World) -> Operation:
    status = world.chance.choice(["", "&status=completed", "&status=error"])
    return _get(world, "list", f"/api/tasks?limit=5{status}", 200, expected.LIST)


def _nowhere(world: World) -> Operation:
    return _get(world, "no such path", "/api/nowhere", 404, expected.NO_PAGE)


def _create_again(world: World) -> Operation:
    # Answered with the id of the first time, where the gateway knows the key; else it is one more task.
    trace = expected.submitted(expected.new_message(expected.DEMO_PAGE))
    return _operation(world, "create, again", world.chance.choice(world.requests), "completed", trace)


def _new(world: World) -> Operation:
    task_id = str(uuid.uuid4())
    act = _message("new", task_id, world.body())
    return _operation(world, "message new", act, "completed", expected.new_message(expected.DEMO_PAGE), task_id=task_id)


def _duplicate(world: World) -> Operation:
    act = world.chance.choice(world.messages)
    return _operation(world, "message new, again", act, "consumed", expected.STORED_BEFORE)


def _out_of_order(world: World) -> Operation:
    act = _message("error", world.chance.choice(world.finished), {"error": "too late"})
    return _operation(world, "message error, out of order", act, "consumed", expected.NOTHING_TO_CHANGE)


def _unknown_task(world: World) -> Operation:
    act = _message("completed", str(uuid.uuid4()), {"crawl_result": {"title": "?"}})
    return _operation(world, "message completed, unknown task", act, "consumed", expected.NOTHING_TO_CHANGE)


_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_CONTEXTS: Final[dict[str, tuple[tuple[str, bytes | None], ...]]] = {
    "no context": (),
    "empty context": (("traceparent", b""), ("tracestate", b"")),
    "context without value": (("traceparent", None),),
    "context of zeros": (("traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"),),
    "context in upper case": (("traceparent", _TRACEPARENT.upper().encode()),),
    "context of version ff": (("traceparent", b"ff" + _TRACEPARENT[2:].encode()),),
    "context cut short": (("traceparent", _TRACEPARENT[:40].encode()),),
    "context of other bytes": (("traceparent", b"\xff\xfe\x00\x01"), ("baggage", b"\x80=\x80")),
    "oversized context": (("traceparent", b"0" * 70_000), ("tracestate", b"a=b," * 30_000)),
}


def _without_context(world: World) -> Operation:
    name = world.chance.choice(list(_CONTEXTS))
    task_id = str(uuid.uuid4())
    return _operation(
        world,
        f"message new, {name}",
        _message("new", task_id, world.body()),
        "completed",
        expected.new_message(expected.DEMO_PAGE),
        task_id=task_id,
        context=_CONTEXTS[name],
        malformed=True,
    )


def _request_without_context(world: World) -> Operation:
    operation = _create(world)
    name = world.chance.choice(["context of zeros", "context in upper case", "context of version ff", "no context"])
    operation.kind = f"create, {name}"
    operation.context, operation.trace_id, operation.parent_id = _CONTEXTS[name], None, ""
    operation.malformed = True
    return operation


def _beside_context(world: World) -> Operation:
    """The context is good and what stands beside it is not: the trace goes on."""
    operation = _new(world)
    beside: list[tuple[str, bytes | None]] = [
        ("tracestate", b"=,=,\x80"),
        ("baggage", b"a" * 20_000),
        ("x-correlation-id", b"\x00\xff"),
        ("x-unknown", None),
    ]
    operation.kind = "message new, malformed beside the context"
    ((name, value),) = operation.context
    # The names of Kafka headers know no case of their own; some clients write them as HTTP's once were.
    operation.context = ((world.chance.choice([name, name.title()]), value), *world.chance.sample(beside, 2))
    operation.malformed = True
    return operation


def _malformed(world: World) -> Operation:
    task_id = str(uuid.uuid4())
    body = world.body()
    wrong: dict[str, Message] = {
        "no JSON": _message("new", task_id, b"\xff{"),
        "no body": _message("new", task_id, None),
        "empty body": _message("new", task_id, b""),
        "a list as body": _message("new", task_id, []),
        "a field missing": _message("new", task_id, {"user_email": body["user_email"]}),
        "a NUL in it": _message("new", task_id, {**body, "user_query": "a\x00b"}),
        "no status": _message(None, task_id, body),
        "an unknown status": _message("paused", task_id, body),
        "no id": _message("completed", None, {"crawl_result": {}}),
        "an id that is none": _message("error", "4711", {"error": "x"}),
        "an oversized body": _message("new", task_id, b"{" + b" " * 300_000),
    }
    name = world.chance.choice(list(wrong))
    context = world.chance.choice([None, world.chance.choice(list(_CONTEXTS.values()))])
    return _operation(
        world,
        f"message with {name}" + ("" if context is None else ", without context"),
        wrong[name],
        "dead letter",
        expected.PUT_ASIDE,
        context=context,
        malformed=True,
    )


Make = Callable[[World], Operation]

# Shares of the mix, in percent.
_GOOD: Final[tuple[tuple[int, Make], ...]] = (
    (24, _create), (10, _create_failing), (9, _create_invalid),
    (16, _read), (6, _read_unknown), (4, _read_invalid), (9, _list), (2, _nowhere),
    (4, _create_again), (6, _new), (4, _duplicate), (3, _out_of_order), (3, _unknown_task),
)  # fmt: skip
_BAD: Final[tuple[tuple[int, Make], ...]] = (
    (40, _malformed), (35, _without_context), (15, _request_without_context), (10, _beside_context),
)  # fmt: skip
# These need something that has reached its end.
_NEEDS: Final[Mapping[Make, Callable[[World], Sequence[object]]]] = {
    _read: lambda world: world.finished,
    _out_of_order: lambda world: world.finished,
    _create_again: lambda world: world.requests,
    _duplicate: lambda world: world.messages,
}


class Plan:
    """The operations of a run, in an order that `chance` shuffles; made one by one, as they may be begun."""

    def __init__(self, operations: int, malformed: int, world: World) -> None:
        self._world = world
        makes = [*_shares(_GOOD, operations - malformed), *_shares(_BAD, malformed)]
        world.chance.shuffle(makes)
        self._makes = deque(makes)

    def __len__(self) -> int:
        return len(self._makes)

    def next(self) -> Operation | None:
        """The next that can be begun now; None where all that is left has to wait for a finished task."""
        for _ in range(len(self._makes)):
            make = self._makes.popleft()
            if make not in _NEEDS or _NEEDS[make](self._world):
                return make(self._world)
            self._makes.append(make)
        return None


def _shares(kinds: Sequence[tuple[int, Make]], count: int) -> list[Make]:
    """`count` of them, shared out as exactly as whole numbers allow."""
    total = sum(share for share, _ in kinds)
    made: list[Make] = []
    reached = 0
    for share, make in kinds:
        reached += share
        made += [make] * (round(count * reached / total) - len(made))
    return made
