"""The search for the trace of a task, as a person searches in Grafana: by an attribute, not by the trace's id."""

from collections.abc import Mapping
from typing import Any, Final

from contracts.services import TASK_MANAGER
from stack.clients.traces import TraceStoreClient

_ATTRIBUTE: Final = "task.id"
_MARGIN_SECONDS: Final = 60.0
"""Clocks differ: the searched time begins so long before the request, and ends so long after now."""


def task_query(backend: str, identifier: str) -> Mapping[str, Any]:
    """Returns the search for the spans of a task, as a panel of this trace store has it."""
    if backend == "tempo":
        return {"query": f'{{ span.{_ATTRIBUTE} = "{identifier}" }}'}
    return {"service": TASK_MANAGER, "tags": f"{_ATTRIBUTE}={identifier}"}


def is_searchable(store: TraceStoreClient, trace_id: str, identifier: str, *, start: float, end: float) -> bool:
    """Whether a search for the task returns its trace.

    Args:
        store: the trace store.
        trace_id: of the trace.
        identifier: of the task.
        start: when the request was sent, in s since the epoch.
        end: now.

    Raises:
        QueryError: the store does not answer.
    """
    query = task_query(store.backend, identifier)
    results = store.search(query, start=start - _MARGIN_SECONDS, end=end + _MARGIN_SECONDS)
    return any(result.trace_id == trace_id for result in results)
