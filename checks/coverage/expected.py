"""What a trace must hold, and how a trace from the store compares with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stack.clients.traces import Span


@dataclass(frozen=True)
class Step:
    """A span that must be there, and those that must be below it; spans of kind INTERNAL may stand between."""

    service: str
    kind: str
    name: str
    below: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return f"{self.service} {self.kind} {self.name!r}"

    def steps(self) -> Iterator[Step]:
        """This one and all below."""
        yield self
        for step in self.below:
            yield from step.steps()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """missing, wrong: what is not as expected, in words. repeated: spans of a step done twice, as redelivery does."""

    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    repeated: int = 0

    @property
    def complete(self) -> bool:
        """Whether the trace is whole and every span of it rightly linked."""
        return not self.missing and not self.wrong


# These cross a border between processes: one too many is as wrong as one too few. What else a service records of its
# own work (more statements, connections) is its own affair.
_BORDERS = frozenset({"SERVER", "PRODUCER", "CONSUMER"})


def compare(spans: Sequence[Span], expected: Step, parent_id: str) -> Comparison:
    """Holds a trace against `expected`, the step whose parent is the span `parent_id` ("": no parent at all)."""
    by_id = {span.span_id: span for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.kind != "INTERNAL":
            children[_parent(span, by_id)].append(span)
    used: set[str] = set()
    missing: list[str] = []
    repeated = _match(expected, parent_id, "the caller's span" if parent_id else "no parent", children, used, missing)
    wrong = []
    for span in spans:
        if span.parent_id not in by_id and span.parent_id != parent_id:
            wrong.append(f"{span.service} {span.kind} {span.name!r} has a parent that is not in the trace")
        elif span.kind in _BORDERS and span.span_id not in used:
            wrong.append(f"{span.service} {span.kind} {span.name!r} is not expected there")
    if len(by_id) != len(spans):
        wrong.append(f"{len(spans) - len(by_id)} span ids occur twice")
    return Comparison(missing=tuple(missing), wrong=tuple(wrong), repeated=repeated)


def _match(
    step: Step,
    parent_id: str,
    parent: str,
    children: Mapping[str, Sequence[Span]],
    used: set[str],
    missing: list[str],
) -> int:
    """Marks the spans of `step` and of what is below it as used; how many of them were there more than once."""
    same = [
        span
        for span in children.get(parent_id, ())
        if (span.service, span.kind, span.name) == (step.service, step.kind, step.name) and span.span_id not in used
    ]
    if not same:
        missing.append(f"{step} below {parent}")
        return 0
    # Of several, the one under which most is found: a message delivered again may have ended early the first time.
    tried = []
    for span in same:
        marked, lacking = {span.span_id}, list[str]()
        again = sum(_match(below, span.span_id, str(step), children, marked, lacking) for below in step.below)
        tried.append((len(lacking), marked, lacking, again))
    best = min(range(len(tried)), key=lambda number: tried[number][0])
    missing.extend(tried[best][2])
    if step.kind in _BORDERS:
        for _, marked, _, _ in tried:
            used |= marked
        return tried[best][3] + len(same) - 1
    used |= tried[best][1]
    return tried[best][3]


def _parent(span: Span, by_id: Mapping[str, Span]) -> str:
    """Id of the nearest span above that is not the same service's own INTERNAL span."""
    parent = by_id.get(span.parent_id)
    while parent is not None and parent.kind == "INTERNAL" and parent.service == span.service:
        span, parent = parent, by_id.get(parent.parent_id)
    return span.parent_id


# The ways through the system, from their ends. Names are the ones on-call engineers see.
_UPDATE = Step("task-manager", "CLIENT", "UPDATE web_crawl_tasks")
_INSERT = Step("task-manager", "CLIENT", "INSERT web_crawl_tasks")
_SELECT = Step("task-manager", "CLIENT", "SELECT web_crawl_tasks")
_PROCESS = ("task-manager", "CONSUMER", "process task-status")
_DONE = Step("web-crawler", "PRODUCER", "send task-status", (Step(*_PROCESS, (_UPDATE,)),))


def new_message(page: Step | None) -> Step:
    """A `new` message and all that follows from it; `page`: what the server of the crawled page records, if it does."""
    fetch = Step("web-crawler", "CLIENT", "GET", (page,) if page else ())
    crawl = Step("web-crawler", "CONSUMER", "process requests-web-crawl", (fetch, _DONE))
    return Step(*_PROCESS, (_INSERT, Step("task-manager", "PRODUCER", "send requests-web-crawl", (crawl,))))


DEMO_PAGE = Step("gateway", "SERVER", "GET /demo")
NO_PAGE = Step("gateway", "SERVER", "GET")
STORED_BEFORE = Step(*_PROCESS, (_INSERT,))
NOTHING_TO_CHANGE = Step(*_PROCESS, (_SELECT,))
PUT_ASIDE = Step(*_PROCESS, (Step("task-manager", "PRODUCER", "send task-status.dead-letter"),))
REFUSED = Step("gateway", "SERVER", "POST /api/tasks")
BAD_ID = Step("gateway", "SERVER", "GET /api/tasks/{id}")


def submitted(processed: Step) -> Step:
    """POST /api/tasks, and what follows from its message."""
    return Step(
        "gateway", "SERVER", "POST /api/tasks", (Step("gateway", "PRODUCER", "send task-status", (processed,)),)
    )


def read(route: str, *statements: Step) -> Step:
    """A GET that the gateway hands on to the task-manager."""
    below = Step("task-manager", "SERVER", f"GET {route}", statements)
    return Step("gateway", "SERVER", f"GET {route}", (Step("gateway", "CLIENT", "GET", (below,)),))


SUBMITTED_AGAIN = submitted(STORED_BEFORE)
READ = read("/api/tasks/{id}", _SELECT)
LIST = read("/api/tasks", _SELECT)
