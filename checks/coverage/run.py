"""Executes the operations, waits for the effect of each, then fetches its trace and compares it."""

import base64
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

import httpx

from checks.coverage import expected
from checks.coverage.compare import Comparison, compare
from checks.coverage.ledger import Entry, LedgerError, Outcome
from checks.coverage.operations import HttpRequest, Message, RunState
from checks.coverage.plan import Plan
from contracts.services import TASK_MANAGER
from contracts.topics import CRAWL_TOPIC, DEAD_LETTER_SOURCE, STATUS_TOPIC, dead_letter_topic
from stack.clients.traces import Span
from stack.probe.request import authorization

IN_FLIGHT: Final = 96
"""The most operations between their start and the comparison of their trace. So a store needs to keep a trace for
seconds only, and a store in memory need not keep 10,000 of them."""
EFFECT_SECONDS: Final = 120.0
TRACE_SECONDS: Final = 60.0
# Spans are exported in batches: half a second in a service, a fifth of a second in the Collector.
_FIRST_LOOKUP_SECONDS: Final = 1.0
_NEXT_LOOKUP_SECONDS: Final = 1.0
_LEDGER_SECONDS: Final = 0.3
_SENDERS, _READERS = 6, 4
_MESSAGES_AT_ONCE: Final = 20


class Store(Protocol):
    """Looks traces up by their id."""

    def trace(self, trace_id: str) -> list[Span]:
        """Returns the spans of the trace, none if the store does not have it (yet). Raises httpx.HTTPError."""


class Agent(Protocol):
    """The agent inside the stack."""

    def execute(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Executes a command. Raises LedgerError."""


class Run:
    """One run on a stack."""

    def __init__(
        self,
        *,
        gateway: str,
        key: str = "",
        agent: Agent,
        store: Store,
        plan: Plan,
        state: RunState,
        trace_seconds: float = TRACE_SECONDS,
        on_progress: Callable[[int, int, int], None] = lambda done, failed, in_flight: None,
    ) -> None:
        """Prepares a run.

        Args:
            gateway: base URL of the gateway, as this process reaches it.
            key: API key for the gateway; empty if it needs none.
            agent: the agent inside the stack.
            store: the trace store.
            plan: the operations.
            state: what the operations are made of.
            trace_seconds: how long after the effect of an operation its trace may be incomplete.
            on_progress: called now and then with the numbers of operations done, failed and in flight.
        """
        self._client = httpx.Client(
            base_url=gateway,
            headers=authorization(key),
            timeout=20,
            limits=httpx.Limits(max_connections=_SENDERS, max_keepalive_connections=_SENDERS),
        )
        self._agent = agent
        self._store = store
        self._plan = plan
        self._state = state
        self._trace_seconds = trace_seconds
        self._on_progress = on_progress
        self._outcome = Outcome()
        self._failures = 0
        # The entries by what they wait for: the answer, the effect, the next look-up, the end of a look-up.
        self._sending: dict[Future[None], Entry] = {}
        self._waiting: list[Entry] = []
        self._to_look_up: list[Entry] = []
        self._looking_up: dict[Future[None], Entry] = {}
        self._crawls: dict[str, str] = {}
        """Trace id of each request to crawl, by task id."""
        self._dead_letters: dict[str, str] = {}
        """Trace id of each dead letter, by the position of its original message."""

    def run(self) -> Outcome:
        """Runs all operations.

        Raises:
            LedgerError: the ledger cannot be kept.
        """
        started = time.monotonic()
        self._agent.execute("watch", topics=[CRAWL_TOPIC, dead_letter_topic(STATUS_TOPIC)])
        next_reading = 0.0
        with self._client, ThreadPoolExecutor(_SENDERS) as senders, ThreadPoolExecutor(_READERS) as readers:
            while len(self._plan) or self._in_flight():
                self._start(senders)
                self._collect_answers()
                self._collect_comparisons()
                if time.monotonic() >= next_reading:
                    self._read_ledger()
                    next_reading = time.monotonic() + _LEDGER_SECONDS
                self._look_up(readers)
                self._on_progress(len(self._outcome.entries), self._failures, self._in_flight())
                time.sleep(0.02)
        self._outcome.seconds = time.monotonic() - started
        return self._outcome

    def _in_flight(self) -> int:
        return len(self._sending) + len(self._waiting) + len(self._to_look_up) + len(self._looking_up)

    def _start(self, senders: ThreadPoolExecutor) -> None:
        messages: list[Entry] = []
        # A few at a time, so that HTTP and Kafka stay mixed.
        while len(messages) < _MESSAGES_AT_ONCE and self._in_flight() + len(messages) < IN_FLIGHT:
            operation = self._plan.next()
            if operation is None:
                if not self._in_flight() and not messages:
                    raise LedgerError("no task is completed, so the operations that need one cannot start")
                break
            entry = Entry(operation=operation, started=time.monotonic())
            if isinstance(operation.action, Message):
                messages.append(entry)
            else:
                self._sending[senders.submit(self._request, entry)] = entry
        if messages:
            self._produce(messages)

    def _produce(self, messages: list[Entry]) -> None:
        wire = [entry.operation.to_wire() for entry in messages]
        positions = self._agent.execute("produce", messages=wire)["positions"]
        for entry, position in zip(messages, positions, strict=True):
            if position is None:
                raise LedgerError(f"Kafka did not accept the message of operation {entry.operation.number}")
            entry.operation.position = f"{STATUS_TOPIC}/{position[0]}/{position[1]}"
            self._waiting.append(entry)

    def _request(self, entry: Entry) -> None:
        operation = entry.operation
        action = operation.action
        assert isinstance(action, HttpRequest)
        headers = [(name.encode(), value or b"") for name, value in operation.context]
        if action.key:
            headers.append((b"idempotency-key", action.key.encode()))
        try:
            answer = self._client.request(action.method, action.path, json=action.body, headers=headers)
        except httpx.HTTPError as error:
            entry.failure = f"no answer: {error!r}"
            return
        returned = answer.headers.get("traceparent", "").split("-")
        if operation.trace_id is None and len(returned) == 4:
            operation.trace_id = returned[1]
        elif returned[1:2] != [operation.trace_id]:
            entry.failure = f"answered with traceparent {answer.headers.get('traceparent')!r}"
        if answer.status_code != action.status:
            entry.failure = f"answered {answer.status_code} instead of {action.status}"
        elif answer.status_code == httpx.codes.ACCEPTED:
            operation.task_id = answer.json()["id"]
            if operation.task_id in self._state.finished:  # the gateway remembers the idempotency key
                operation.trace, operation.effect = expected.SUBMITTED_AGAIN, "answered"

    def _collect_answers(self) -> None:
        for future in [future for future in self._sending if future.done()]:
            entry = self._sending.pop(future)
            future.result()
            if entry.failure:
                self._finish(entry)
            elif entry.operation.effect == "answered":
                self._note_effect(entry)
            else:
                self._waiting.append(entry)

    def _collect_comparisons(self) -> None:
        for future in [future for future in self._looking_up if future.done()]:
            entry = self._looking_up.pop(future)
            future.result()
            if entry.is_covered:
                self._finish(entry)
            elif time.monotonic() - (entry.effect_seen or 0.0) > self._trace_seconds:
                entry.failure = (
                    f"not complete {self._trace_seconds:g} s after its effect, {entry.spans} spans in the store"
                )
                self._finish(entry)
            else:
                entry.next_lookup = time.monotonic() + _NEXT_LOOKUP_SECONDS
                self._to_look_up.append(entry)

    def _read_ledger(self) -> None:
        """Reads in Kafka and the database which of the waiting operations have had their effect."""
        if not self._waiting:
            return
        # The offsets first: a service writes a dead letter before it commits the offset of the original message, so the
        # dead letter is among the records that are read afterwards.
        committed = self._agent.execute("committed", group=TASK_MANAGER, topic=STATUS_TOPIC)["committed"]
        self._read_records()
        tasks: dict[str, str] = {}
        ids = [entry.operation.task_id for entry in self._waiting if entry.operation.effect in ("completed", "error")]
        if ids:
            tasks = self._agent.execute("tasks", ids=ids)["tasks"]
        still_waiting = []
        for entry in self._waiting:
            if self._has_effect(entry, tasks, committed):
                self._note_effect(entry)
            elif entry.failure or time.monotonic() - entry.started > EFFECT_SECONDS:
                entry.failure = entry.failure or f"no effect ({entry.operation.effect}) within {EFFECT_SECONDS:g} s"
                self._finish(entry)
            else:
                still_waiting.append(entry)
        self._waiting = still_waiting

    def _read_records(self) -> None:
        for record in self._agent.execute("records")["records"]:
            headers = dict(record["headers"])
            trace_id = _trace_id(headers.get("traceparent"))
            if record["topic"] == CRAWL_TOPIC:
                self._crawls.setdefault(record["key"], trace_id)
            elif source := headers.get(DEAD_LETTER_SOURCE):
                self._dead_letters[base64.b64decode(source).decode()] = trace_id

    def _has_effect(self, entry: Entry, tasks: dict[str, str], committed: dict[str, int]) -> bool:
        """Whether the operation has had its effect; sets the entry's failure if it had another one."""
        if entry.operation.effect in ("completed", "error"):
            return self._has_status(entry, tasks)
        return self._is_consumed(entry, committed)

    def _has_status(self, entry: Entry, tasks: dict[str, str]) -> bool:
        operation = entry.operation
        task_id = operation.task_id or ""
        status = tasks.get(task_id.replace("-", ""))
        if status not in ("completed", "error"):
            return False
        if status != operation.effect:
            entry.failure = f"the status in the task's row is {status}"
            return False
        if operation.trace_id is None:
            operation.trace_id = self._crawls.get(task_id)
        if operation.trace_id is None:
            return False
        # If the operation sent a context, the request to crawl must belong to the same trace.
        if self._crawls.get(task_id, operation.trace_id) != operation.trace_id:
            entry.failure = f"the request to crawl carries trace {self._crawls[task_id]}"
            return False
        if operation.effect == "completed":
            self._state.finish(operation)
        return True

    def _is_consumed(self, entry: Entry, committed: dict[str, int]) -> bool:
        operation = entry.operation
        position = operation.position or ""
        _, partition, offset = position.split("/")
        if committed.get(partition, -1) <= int(offset):
            return False
        trace_id = self._dead_letters.get(position)
        if trace_id is None and operation.effect == "dead letter":
            entry.failure = "consumed, and not among the dead letters"
        elif trace_id is not None:
            operation.trace = expected.DEAD_LETTERED
            operation.trace_id = operation.trace_id or trace_id
            if trace_id != operation.trace_id:
                entry.failure = f"the dead letter carries trace {trace_id}"
        return entry.failure is None

    def _note_effect(self, entry: Entry) -> None:
        entry.effect_seen = time.monotonic()
        entry.next_lookup = entry.effect_seen + _FIRST_LOOKUP_SECONDS
        self._to_look_up.append(entry)

    def _look_up(self, readers: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        room = 2 * _READERS - len(self._looking_up)
        for entry in [entry for entry in self._to_look_up if entry.next_lookup <= now][:room]:
            self._to_look_up.remove(entry)
            self._looking_up[readers.submit(self._compare, entry)] = entry

    def _compare(self, entry: Entry) -> None:
        operation = entry.operation
        entry.lookups += 1
        try:
            spans = self._store.trace(operation.trace_id or "")
        except httpx.HTTPError as error:
            entry.comparison = Comparison(wrong=(f"the store does not answer: {error!r}",))
            return
        entry.spans = len(spans)
        entry.comparison = compare(spans, operation.trace, operation.parent_id)

    def _finish(self, entry: Entry) -> None:
        self._outcome.entries.append(entry)
        self._failures += not entry.is_covered


def _trace_id(header: str | None) -> str:
    return base64.b64decode(header or "").decode("latin-1").split("-")[1] if header else ""
