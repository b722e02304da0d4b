"""Carries the operations out, keeps the ledger, and fetches each trace as soon as its operation has had its effect."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx

from checks.coverage import expected
from checks.coverage.expected import Comparison, compare
from checks.coverage.operations import CRAWL_TOPIC, DEAD_LETTERS, TOPIC, HttpRequest, Message, Operation, Plan, World
from contracts.errors import UserError
from stack.clients.traces import Span

# At most so many operations are between their beginning and the comparison of their trace, however many there are in
# all: a store has to hold a trace for seconds only, and a store in memory need not hold 10,000 of them.
IN_FLIGHT: Final = 96
EFFECT_SECONDS: Final = 120.0
TRACE_SECONDS: Final = 60.0
# Spans come in batches: half a second in a service, a fifth in the Collector.
_FIRST_LOOK_SECONDS = 1.0
_NEXT_LOOK_SECONDS = 1.0
_LEDGER_SECONDS = 0.3
_ACTORS, _READERS = 6, 4


class Store(Protocol):
    """Where traces are read by their id."""

    def trace(self, trace_id: str) -> list[Span]:
        """Spans of the trace, none if it is not known (yet). Raises httpx.HTTPError."""


class Hands(Protocol):
    """The agent inside the stack."""

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Has an order carried out. Raises LedgerError."""


class LedgerError(UserError):
    """The ledger itself cannot be kept; says nothing about traces."""


@dataclass(kw_only=True, eq=False)
class Entry:
    """An operation on its way."""

    operation: Operation
    began: float
    effect_at: float | None = None
    look_at: float = 0.0
    looks: int = 0
    spans: int = 0
    comparison: Comparison | None = None
    failure: str | None = None

    @property
    def covered(self) -> bool:
        """Its trace is complete and rightly linked."""
        return self.failure is None and self.comparison is not None and self.comparison.complete

    def why(self) -> str:
        """What is wrong, in words."""
        found = self.comparison or Comparison()
        said = [
            *([self.failure] if self.failure else []),
            *(f"missing: {step}" for step in found.missing),
            *found.wrong,
        ]
        return "; ".join(said) or "nothing"


@dataclass(kw_only=True)
class Outcome:
    """The ledger at the end."""

    entries: list[Entry] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> list[Entry]:
        """Operations whose trace is not what it must be."""
        return [entry for entry in self.entries if not entry.covered]

    @property
    def percent(self) -> float:
        """Share of the operations that are covered, never rounded up to the whole."""
        return 100.0 * (len(self.entries) - len(self.failed)) / max(1, len(self.entries))

    def kinds(self) -> list[tuple[str, int, int]]:
        """(kind, operations, covered) of each kind."""
        all_of = Counter(entry.operation.kind for entry in self.entries)
        covered = Counter(entry.operation.kind for entry in self.entries if entry.covered)
        return [(kind, count, covered[kind]) for kind, count in sorted(all_of.items())]


class Run:
    """One run over a stack."""

    def __init__(
        self,
        *,
        gateway: str,
        hands: Hands,
        store: Store,
        plan: Plan,
        world: World,
        trace_seconds: float = TRACE_SECONDS,
        tick: Callable[[int, int, int], None] = lambda done, failed, in_flight: None,
    ) -> None:
        """gateway: its base URL from here. trace_seconds: how long after its effect an operation's trace may take.

        tick: told (done, failed, in flight) now and then.
        """
        self._client = httpx.Client(
            base_url=gateway,
            timeout=20,
            limits=httpx.Limits(max_connections=_ACTORS, max_keepalive_connections=_ACTORS),
        )
        self._hands = hands
        self._store = store
        self._plan = plan
        self._world = world
        self._trace_seconds = trace_seconds
        self._tick = tick
        self._outcome = Outcome()
        self._failures = 0
        self._acting: dict[Future[None], Entry] = {}
        self._waiting: list[Entry] = []
        self._to_look: list[Entry] = []
        self._looking: dict[Future[None], Entry] = {}
        # Of records seen: trace id by task (requests to crawl), and by place of the message put aside.
        self._crawls: dict[str, str] = {}
        self._put_aside: dict[str, str] = {}

    def run(self) -> Outcome:
        """Raises LedgerError."""
        began = time.monotonic()
        self._hands.ask("watch", topics=[CRAWL_TOPIC, DEAD_LETTERS])
        ledger_at = 0.0
        with self._client, ThreadPoolExecutor(_ACTORS) as actors, ThreadPoolExecutor(_READERS) as readers:
            while len(self._plan) or self._in_flight():
                self._begin(actors)
                self._collect()
                if time.monotonic() >= ledger_at:
                    self._read_ledger()
                    ledger_at = time.monotonic() + _LEDGER_SECONDS
                self._look(readers)
                self._tick(len(self._outcome.entries), self._failures, self._in_flight())
                time.sleep(0.02)
        self._outcome.seconds = time.monotonic() - began
        return self._outcome

    def _in_flight(self) -> int:
        return len(self._acting) + len(self._waiting) + len(self._to_look) + len(self._looking)

    def _begin(self, actors: ThreadPoolExecutor) -> None:
        messages: list[Entry] = []
        # A few at a time, so that HTTP and Kafka stay mixed.
        while len(messages) < 20 and self._in_flight() + len(messages) < IN_FLIGHT:
            operation = self._plan.next()
            if operation is None:
                if not self._in_flight() and not messages:
                    raise LedgerError("no task reached its end, so nothing can be done that needs one")
                break
            entry = Entry(operation=operation, began=time.monotonic())
            if isinstance(operation.act, Message):
                messages.append(entry)
            else:
                self._acting[actors.submit(self._request, entry)] = entry
        if messages:
            placed = self._hands.ask("produce", messages=[entry.operation.wire() for entry in messages])["placed"]
            for entry, place in zip(messages, placed, strict=True):
                if place is None:
                    raise LedgerError(f"Kafka did not take operation {entry.operation.number}")
                entry.operation.placed = f"{TOPIC}/{place[0]}/{place[1]}"
                self._waiting.append(entry)

    def _request(self, entry: Entry) -> None:
        operation = entry.operation
        act = operation.act
        assert isinstance(act, HttpRequest)
        headers = [(name.encode(), value or b"") for name, value in operation.context]
        if act.key:
            headers.append((b"idempotency-key", act.key.encode()))
        try:
            answer = self._client.request(act.method, act.path, json=act.body, headers=headers)
        except httpx.HTTPError as error:
            entry.failure = f"no answer: {error!r}"
            return
        returned = answer.headers.get("traceparent", "").split("-")
        if operation.trace_id is None and len(returned) == 4:
            operation.trace_id = returned[1]
        elif returned[1:2] != [operation.trace_id]:
            entry.failure = f"answered with traceparent {answer.headers.get('traceparent')!r}"
        if answer.status_code != act.status:
            entry.failure = f"answered {answer.status_code} instead of {act.status}"
        elif answer.status_code == httpx.codes.ACCEPTED:
            operation.task_id = answer.json()["id"]
            if operation.task_id in self._world.finished:  # the gateway knew the request from before
                operation.trace, operation.effect = expected.SUBMITTED_AGAIN, "answered"

    def _collect(self) -> None:
        for future in [future for future in self._acting if future.done()]:
            entry = self._acting.pop(future)
            future.result()
            if entry.failure:
                self._finish(entry)
            elif entry.operation.effect == "answered":
                self._affected(entry)
            else:
                self._waiting.append(entry)
        for future in [future for future in self._looking if future.done()]:
            entry = self._looking.pop(future)
            future.result()
            if entry.covered:
                self._finish(entry)
            elif time.monotonic() - (entry.effect_at or 0.0) > self._trace_seconds:
                entry.failure = (
                    f"not complete {self._trace_seconds:g} s after its effect, {entry.spans} spans in the store"
                )
                self._finish(entry)
            else:
                entry.look_at = time.monotonic() + _NEXT_LOOK_SECONDS
                self._to_look.append(entry)

    def _read_ledger(self) -> None:
        """What Kafka and the database say of the operations that wait for their effect."""
        if not self._waiting:
            return
        # In this order: a message is put aside before its offset is committed, so the record of it is there by then.
        committed = self._hands.ask("committed", group="task-manager", topic=TOPIC)["committed"]
        for record in self._hands.ask("records")["records"]:
            headers = dict(record["headers"])
            trace_id = _trace_id(headers.get("traceparent"))
            if record["topic"] == CRAWL_TOPIC:
                self._crawls.setdefault(record["key"], trace_id)
            elif headers.get("dead-letter-source"):
                self._put_aside[base64.b64decode(headers["dead-letter-source"]).decode()] = trace_id
        tasks: dict[str, str] = {}
        ids = [entry.operation.task_id for entry in self._waiting if entry.operation.effect in ("completed", "error")]
        if ids:
            tasks = self._hands.ask("tasks", ids=ids)["tasks"]
        still = []
        for entry in self._waiting:
            if self._settled(entry, tasks, committed):
                self._affected(entry)
            elif entry.failure or time.monotonic() - entry.began > EFFECT_SECONDS:
                entry.failure = entry.failure or f"no effect ({entry.operation.effect}) within {EFFECT_SECONDS:g} s"
                self._finish(entry)
            else:
                still.append(entry)
        self._waiting = still

    def _settled(self, entry: Entry, tasks: dict[str, str], committed: dict[str, int]) -> bool:
        operation = entry.operation
        if operation.effect in ("completed", "error"):
            task_id = operation.task_id or ""
            status = tasks.get(task_id.replace("-", ""))
            if status not in ("completed", "error"):
                return False
            if status != operation.effect:
                entry.failure = f"the task's row says {status}"
                return False
            if operation.trace_id is None:
                operation.trace_id = self._crawls.get(task_id)
            if operation.trace_id is None:
                return False
            # Whoever sent a context can tell where the request to crawl belongs; the record must agree.
            if self._crawls.get(task_id, operation.trace_id) != operation.trace_id:
                entry.failure = f"the request to crawl carries trace {self._crawls[task_id]}"
                return False
            if operation.effect == "completed":
                self._world.finish(operation)
            return True
        place = operation.placed or ""
        _, partition, offset = place.split("/")
        if committed.get(partition, -1) <= int(offset):
            return False
        found = self._put_aside.get(place)
        if found is None and operation.effect == "dead letter":
            entry.failure = "consumed, and not among the dead letters"
        elif found is not None:
            operation.trace = expected.PUT_ASIDE
            operation.trace_id = operation.trace_id or found
            if found != operation.trace_id:
                entry.failure = f"the dead letter carries trace {found}"
        return entry.failure is None

    def _affected(self, entry: Entry) -> None:
        entry.effect_at = time.monotonic()
        entry.look_at = entry.effect_at + _FIRST_LOOK_SECONDS
        self._to_look.append(entry)

    def _look(self, readers: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        ready = [entry for entry in self._to_look if entry.look_at <= now][: 2 * _READERS - len(self._looking)]
        for entry in ready:
            self._to_look.remove(entry)
            self._looking[readers.submit(self._fetch, entry)] = entry

    def _fetch(self, entry: Entry) -> None:
        operation = entry.operation
        entry.looks += 1
        try:
            spans = self._store.trace(operation.trace_id or "")
        except httpx.HTTPError as error:
            entry.comparison = Comparison(wrong=(f"the store does not answer: {error!r}",))
            return
        entry.spans = len(spans)
        entry.comparison = compare(spans, operation.trace, operation.parent_id)

    def _finish(self, entry: Entry) -> None:
        self._outcome.entries.append(entry)
        self._failures += not entry.covered


def _trace_id(header: str | None) -> str:
    return base64.b64decode(header or "").decode("latin-1").split("-")[1] if header else ""


def describe(failed: Sequence[Entry], at_most: int = 20) -> Iterable[str]:
    """The operations that are not covered: which, what is missing, and the trace's id."""
    for entry in failed[:at_most]:
        operation = entry.operation
        yield f"operation {operation.number} ({operation.kind}), trace {operation.trace_id}: {entry.why()}"
    if len(failed) > at_most:
        yield f"and {len(failed) - at_most} more"
