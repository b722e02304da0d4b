"""The kinds of operations, their shares of a run, and the order in which they start."""

import json
import secrets
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from checks.coverage import expected
from checks.coverage.expected import ExpectedSpan
from checks.coverage.operations import Effect, HttpRequest, Message, Operation, RunState
from contracts.http import TASKS


def _operation(
    state: RunState,
    kind: str,
    action: HttpRequest | Message,
    effect: Effect,
    trace: ExpectedSpan,
    *,
    task_id: str | None = None,
    context: Sequence[tuple[str, bytes | None]] | None = None,
    malformed: bool = False,
) -> Operation:
    """Makes an operation. With a `context` that is not usable, the service starts a trace of its own."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    good = (("traceparent", f"00-{trace_id}-{span_id}-01".encode()),)
    return Operation(
        number=next(state.numbers),
        kind=kind,
        action=action,
        effect=effect,
        trace=trace,
        context=good if context is None else tuple(context),
        trace_id=trace_id if context is None else None,
        parent_id=span_id if context is None else "",
        task_id=task_id,
        malformed=malformed,
    )


def _post(
    state: RunState, kind: str, body: dict[str, Any], status: int, effect: Effect, trace: ExpectedSpan
) -> Operation:
    action = HttpRequest(method="POST", path=TASKS, status=status, body=body, key=secrets.token_hex(8))
    return _operation(state, kind, action, effect, trace)


def _get(state: RunState, kind: str, path: str, status: int, trace: ExpectedSpan) -> Operation:
    return _operation(state, kind, HttpRequest(method="GET", path=path, status=status), "answered", trace)


def _message(status: str | None, task_id: str | None, body: Any, key: str | None = None) -> Message:
    headers: list[tuple[str, bytes | None]] = [("timestamp", b"2026-01-01T00:00:00.000Z")]
    if status is not None:
        headers.append(("status", status.encode()))
    if task_id is not None:
        headers.append(("id", task_id.encode()))
    value = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return Message(value=value, headers=tuple(headers), key=key or task_id or secrets.token_hex(4))


def _create(state: RunState) -> Operation:
    return _post(
        state, "create", state.body(), 202, "completed", expected.submitted(expected.new_message(expected.DEMO_PAGE))
    )


def _create_failing(state: RunState) -> Operation:
    body = state.body("/api/nowhere")
    return _post(
        state, "create, page fails", body, 202, "error", expected.submitted(expected.new_message(expected.NO_PAGE))
    )


def _create_invalid(state: RunState) -> Operation:
    invalid: list[dict[str, Any]] = [
        {"user_email": "no-address"},
        {"base_url": "ftp://x"},
        {"user_query": ""},
        {"unknown": 1},
    ]
    body = state.body(**state.rng.choice(invalid))
    return _post(state, "create, invalid", body, 422, "answered", expected.INVALID_TASK)


def _read(state: RunState) -> Operation:
    return _get(state, "read", f"{TASKS}/{state.rng.choice(state.finished)}", 200, expected.READ)


def _read_unknown(state: RunState) -> Operation:
    return _get(state, "read, unknown", f"{TASKS}/{uuid.uuid4()}", 404, expected.READ)


def _read_invalid(state: RunState) -> Operation:
    return _get(state, "read, no id", f"{TASKS}/no-id", 422, expected.INVALID_ID)


def _list(state: RunState) -> Operation:
    status = state.rng.choice(["", "&status=completed", "&status=error"])
    return _get(state, "list", f"{TASKS}?limit=5{status}", 200, expected.LIST)


def _nowhere(state: RunState) -> Operation:
    return _get(state, "no such path", "/api/nowhere", 404, expected.NO_PAGE)


def _create_again(state: RunState) -> Operation:
    # If the gateway remembers the key, it answers with the id of the first request; else this is a new task.
    trace = expected.submitted(expected.new_message(expected.DEMO_PAGE))
    return _operation(state, "create, again", state.rng.choice(state.requests), "completed", trace)


def _new(state: RunState) -> Operation:
    task_id = str(uuid.uuid4())
    action = _message("new", task_id, state.message())
    return _operation(
        state, "message new", action, "completed", expected.new_message(expected.DEMO_PAGE), task_id=task_id
    )


def _duplicate(state: RunState) -> Operation:
    action = state.rng.choice(state.messages)
    return _operation(state, "message new, again", action, "consumed", expected.STORED_BEFORE)


def _out_of_order(state: RunState) -> Operation:
    action = _message("error", state.rng.choice(state.finished), {"error": "too late"})
    return _operation(state, "message error, out of order", action, "consumed", expected.NOTHING_TO_CHANGE)


def _unknown_task(state: RunState) -> Operation:
    action = _message("completed", str(uuid.uuid4()), {"crawl_result": {"title": "?"}})
    return _operation(state, "message completed, unknown task", action, "consumed", expected.NOTHING_TO_CHANGE)


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


def _without_context(state: RunState) -> Operation:
    name = state.rng.choice(list(_CONTEXTS))
    task_id = str(uuid.uuid4())
    return _operation(
        state,
        f"message new, {name}",
        _message("new", task_id, state.message()),
        "completed",
        expected.new_message(expected.DEMO_PAGE),
        task_id=task_id,
        context=_CONTEXTS[name],
        malformed=True,
    )


def _request_without_context(state: RunState) -> Operation:
    operation = _create(state)
    name = state.rng.choice(["context of zeros", "context in upper case", "context of version ff", "no context"])
    operation.kind = f"create, {name}"
    operation.context, operation.trace_id, operation.parent_id = _CONTEXTS[name], None, ""
    operation.malformed = True
    return operation


def _malformed_headers(state: RunState) -> Operation:
    """The context is good and other headers are malformed: the trace continues."""
    operation = _new(state)
    malformed: list[tuple[str, bytes | None]] = [
        ("tracestate", b"=,=,\x80"),
        ("baggage", b"a" * 20_000),
        ("x-correlation-id", b"\x00\xff"),
        ("x-unknown", None),
    ]
    operation.kind = "message new, malformed other headers"
    ((name, value),) = operation.context
    # Some clients capitalize the names of headers, as HTTP/1.1 did.
    operation.context = ((state.rng.choice([name, name.title()]), value), *state.rng.sample(malformed, 2))
    operation.malformed = True
    return operation


def _malformed(state: RunState) -> Operation:
    task_id = str(uuid.uuid4())
    body = state.body()
    messages: dict[str, Message] = {
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
    name = state.rng.choice(list(messages))
    context = state.rng.choice([None, state.rng.choice(list(_CONTEXTS.values()))])
    return _operation(
        state,
        f"message with {name}" + ("" if context is None else ", without context"),
        messages[name],
        "dead letter",
        expected.DEAD_LETTERED,
        context=context,
        malformed=True,
    )


Make = Callable[[RunState], Operation]

# Shares of the mix, in percent.
_GOOD: Final[tuple[tuple[int, Make], ...]] = (
    (24, _create), (10, _create_failing), (9, _create_invalid),
    (16, _read), (6, _read_unknown), (4, _read_invalid), (9, _list), (2, _nowhere),
    (4, _create_again), (6, _new), (4, _duplicate), (3, _out_of_order), (3, _unknown_task),
)  # fmt: skip
_BAD: Final[tuple[tuple[int, Make], ...]] = (
    (40, _malformed), (35, _without_context), (15, _request_without_context), (10, _malformed_headers),
)  # fmt: skip
# These need the result of an earlier operation.
_NEEDS: Final[Mapping[Make, Callable[[RunState], Sequence[object]]]] = {
    _read: lambda state: state.finished,
    _out_of_order: lambda state: state.finished,
    _create_again: lambda state: state.requests,
    _duplicate: lambda state: state.messages,
}


class Plan:
    """The operations of a run in random order, each made when it can be started."""

    def __init__(self, operations: int, malformed: int, state: RunState) -> None:
        self._state = state
        makes = [*_shares(_GOOD, operations - malformed), *_shares(_BAD, malformed)]
        state.rng.shuffle(makes)
        self._makes = deque(makes)

    def __len__(self) -> int:
        return len(self._makes)

    def next(self) -> Operation | None:
        """The next operation that can be started now; None if all that are left need a completed task."""
        for _ in range(len(self._makes)):
            make = self._makes.popleft()
            if make not in _NEEDS or _NEEDS[make](self._state):
                return make(self._state)
            self._makes.append(make)
        return None


def _shares(kinds: Sequence[tuple[int, Make]], count: int) -> list[Make]:
    """`count` operations in the proportions of the shares, as exactly as whole numbers allow."""
    total = sum(share for share, _ in kinds)
    made: list[Make] = []
    reached = 0
    for share, make in kinds:
        reached += share
        made += [make] * (round(count * reached / total) - len(made))
    return made
