"""The operations of the coverage check: each with the effect that the ledger waits for, and the expected trace."""

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from checks.coverage.expected import ExpectedSpan
from contracts.http import DEMO
from contracts.topics import STATUS_TOPIC

Effect = Literal["answered", "completed", "error", "dead letter", "consumed"]
"""The ledger waits for one of these: the answer; the status in the task's row; a dead letter; the offset of the group.

The services decide whether a `consumed` message is dead-lettered as well; the ledger finds out.
"""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message for the topic `task-status`; its headers are those without the trace context."""

    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    key: str


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request for the gateway; `status` is the required answer."""

    method: str
    path: str
    status: int
    body: dict[str, Any] | None = None
    key: str | None = None
    """Idempotency-Key."""


@dataclass(kw_only=True)
class Operation:
    """One line of the ledger.

    `trace_id` is None until it is known: without a usable context, a service starts the trace, and the ledger reads its
    id in the answer or in the records that the services write.
    """

    number: int
    kind: str
    action: HttpRequest | Message
    effect: Effect
    trace: ExpectedSpan
    context: tuple[tuple[str, bytes | None], ...]
    trace_id: str | None
    parent_id: str
    task_id: str | None = None
    malformed: bool = False
    position: str | None = None
    """`topic/partition/offset` of its message."""

    def to_wire(self) -> dict[str, Any]:
        """The message, as the agent's command `produce` takes it."""
        assert isinstance(self.action, Message)
        headers = (*self.action.headers, *self.context)
        return {
            "topic": STATUS_TOPIC,
            "value": _base64(self.action.value),
            "key": self.action.key,
            "headers": [[name, _base64(value)] for name, value in headers],
        }


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


@dataclass(kw_only=True)
class RunState:
    """The parts of operations: the page's address, random values, and the results of earlier operations."""

    page_base: str
    """Base URL of the crawled pages, as the crawler reaches it."""
    rng: Random
    owner: str | None = None
    """The caller who sends the requests, and so reads its own tasks alone; None if access control is off."""
    finished: list[str] = field(default_factory=list)
    """Ids of the tasks that are completed."""
    requests: list[HttpRequest] = field(default_factory=list)
    """Requests whose tasks are completed; they may be sent again."""
    messages: list[Message] = field(default_factory=list)
    """Messages whose tasks are completed; they may be sent again."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def finish(self, operation: Operation) -> None:
        """Notes that the operation's task is completed."""
        assert operation.task_id is not None
        self.finished.append(operation.task_id)
        if isinstance(operation.action, Message):
            self.messages.append(operation.action)
        else:
            self.requests.append(operation.action)

    def body(self, page: str = DEMO, **changes: Any) -> dict[str, Any]:
        """A task as a user submits it."""
        number = self.rng.randrange(1000)
        return {
            "user_email": f"user{number}@example.com",
            "user_query": f"question {number}",
            "base_url": f"{self.page_base}{page}",
            **changes,
        }

    def message(self) -> dict[str, Any]:
        """The same as the gateway sends it on: with the caller who submitted it."""
        return self.body() | ({} if self.owner is None else {"owner": self.owner})
