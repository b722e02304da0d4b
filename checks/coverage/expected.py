"""The traces that the operations must produce."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from contracts import hops
from contracts.hops import Hop
from contracts.http import TASKS
from contracts.services import GATEWAY, TASK_MANAGER
from contracts.tasks import TABLE
from contracts.topics import STATUS_TOPIC, dead_letter_topic


@dataclass(frozen=True)
class ExpectedSpan:
    """A span that must be in the trace, with its children. Spans of kind INTERNAL may be between parent and child."""

    service: str
    kind: str
    name: str
    children: tuple["ExpectedSpan", ...] = ()

    def __str__(self) -> str:
        return f"{self.service} {self.kind} {self.name!r}"

    def spans(self) -> Iterator["ExpectedSpan"]:
        """This span and all below it."""
        yield self
        for child in self.children:
            yield from child.spans()


def _of(hop: Hop, *children: ExpectedSpan) -> ExpectedSpan:
    return ExpectedSpan(hop.service, hop.kind, hop.name, children)


def _below(hop: Hop) -> ExpectedSpan:
    """A hop of the edge table with all that follows from it."""
    return _of(hop, *(_below(child) for child in hops.HOPS if child.parent is hop))


def _with_page(span: ExpectedSpan, page: ExpectedSpan) -> ExpectedSpan:
    """The same tree with another span of the crawled page."""
    if span == DEMO_PAGE:
        return page
    return replace(span, children=tuple(_with_page(child, page) for child in span.children))


DEMO_PAGE: Final = _of(hops.PAGE)
NO_PAGE: Final = ExpectedSpan(GATEWAY, "SERVER", "GET")
"""The gateway's span of a request whose path it does not have."""
_SELECT: Final = ExpectedSpan(TASK_MANAGER, "CLIENT", f"SELECT {TABLE}")
_DEAD_LETTER: Final = ExpectedSpan(TASK_MANAGER, "PRODUCER", f"send {dead_letter_topic(STATUS_TOPIC)}")


def new_message(page: ExpectedSpan) -> ExpectedSpan:
    """A `new` message and all that follows from it; `page` is the span of the crawled page's server."""
    return _with_page(_below(hops.PROCESS_NEW), page)


def submitted(processed: ExpectedSpan) -> ExpectedSpan:
    """POST /api/tasks, and what follows from its message."""
    return _of(hops.REQUEST, _of(hops.SEND_NEW, processed))


def _read(route: str) -> ExpectedSpan:
    """A GET that the gateway forwards to the task-manager."""
    answered = ExpectedSpan(TASK_MANAGER, "SERVER", f"GET {route}", (_SELECT,))
    return ExpectedSpan(GATEWAY, "SERVER", f"GET {route}", (ExpectedSpan(GATEWAY, "CLIENT", "GET", (answered,)),))


STORED_BEFORE: Final = _of(hops.PROCESS_NEW, _of(hops.INSERT))
NOTHING_TO_CHANGE: Final = _of(hops.PROCESS_NEW, _SELECT)
DEAD_LETTERED: Final = _of(hops.PROCESS_NEW, _DEAD_LETTER)
INVALID_TASK: Final = _of(hops.REQUEST)
INVALID_ID: Final = ExpectedSpan(GATEWAY, "SERVER", f"GET {TASKS}/{{id}}")
SUBMITTED_AGAIN: Final = submitted(STORED_BEFORE)
READ: Final = _read(f"{TASKS}/{{id}}")
LIST: Final = _read(TASKS)
