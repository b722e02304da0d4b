"""The search for a trace, as a person searches in Grafana: by an attribute, not by the trace's id."""

from collections.abc import Mapping
from typing import Any, Final

from contracts.services import TASK_MANAGER
from stack.clients.traces import TraceStoreClient

_ATTRIBUTE: Final = "task.id"
_MARGIN_SECONDS: Final = 60.0
"""Clocks differ: the searched time begins so long before the request, and ends so long after now."""


def attribute_query(backend: str, service: str, attribute: str, value: str) -> Mapping[str, Any]:
    """Returns the search for the spans of a service with an attribute, as a panel of this trace store has it."""
    if backend == "tempo":
        return {"query": f'{{ span.{attribute} = "{value}" }}'}
    return {"service": service, "tags": f"{attribute}={value}"}


def task_query(backend: str, identifier: str) -> Mapping[str, Any]:
    """Returns the search for the spans of a task."""
    return attribute_query(backend, TASK_MANAGER, _ATTRIBUTE, identifier)


def is_searchable(
    store: TraceStoreClient, trace_id: str, query: Mapping[str, Any], *, start: float, end: float
) -> bool:
    """Whether a search returns a trace.

    Args:
        store: the trace store.
        trace_id: of the trace.
        query: in the terms of the store.
        start: when the request was sent, in s since the epoch.
        end: now.

    Raises:
        QueryError: the store does not answer.
    """
    results = store.search(query, start=start - _MARGIN_SECONDS, end=end + _MARGIN_SECONDS)
    return any(result.trace_id == trace_id for result in results)
