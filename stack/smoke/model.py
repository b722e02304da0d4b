"""What the smoke check measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.hops import Hop
from stack.clients.traces import Span


@dataclass(frozen=True, kw_only=True)
class StoredTrace:
    """The trace of the check, as the trace store has it."""

    spans: Sequence[Span]
    hops: Mapping[Hop, Span]
    """Empty in a stack without services."""
    trace_seconds: float
    """From `completed` (without services: from the acknowledgement of the spans) until the whole trace is stored."""
    search_seconds: float
    """From the same moment until a search finds the trace."""
    query: str
    """Path of the store's API that returns the trace."""
    search_query: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """The spans that the programs of one kind passed on since the check began: those of the check, and all others."""

    program: str
    """Such as `Collectors`."""
    accepted: int
    """Until the spans of the check were counted, with those that already waited when the check began."""
    sent: int
    """Those that the receiver acknowledged; more than accepted if there are later ones."""
    query: str
    """PromQL of the counter of `sent`."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The measurements of the check."""

    trace_id: str
    stored: StoredTrace | None
    """None if the trace store cannot be queried: then the trace was not checked."""
    acknowledged: Sequence[Acknowledgement] = ()
    """In this case, what is known instead: from the Collectors to the last sender."""
    calls: Mapping[str, float]
    """Calls by service that the span metrics in Prometheus count."""
    metrics_query: str
    task: dict[str, Any] | None = None
    task_seconds: float | None = None
    """From the request until the task is `completed`."""
