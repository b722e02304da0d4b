"""Finds the spans of a run in Tempo with a search a minute: a look-up by trace id reads a part of every block."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx

from stack.clients.http import QueryError, get_json
from stack.clients.traces import Span, TraceStoreClient

_SLICE_SECONDS: Final = 60.0
_LIMITS: Final = {"limit": 5_000, "spss": 100}
"""Traces of an answer, and spans of a trace in it."""
_ANSWER_SECONDS: Final = 120.0


def searched(store: TraceStoreClient, client: httpx.Client, query: str, start: float, end: float) -> "Lookup":
    """Return a look-up of traces that first answers with what the searches returned.

    Args:
        store: a Tempo.
        client: asks it.
        query: TraceQL that selects the spans.
        start: of the searched time, in s since the epoch.
        end: of the searched time.
    """
    stored: defaultdict[str, dict[str, Span]] = defaultdict(dict)
    while start < end:
        window = {"start": int(start), "end": int(start + _SLICE_SECONDS) + 1}
        params = {"q": query, **_LIMITS, **window}
        # A part of Tempo may still be starting: what no search returns is looked up by its id.
        with contextlib.suppress(QueryError):
            answer = get_json(client.get, f"{store.base_url}/api/search", params, seconds=_ANSWER_SECONDS)
            for trace in answer.get("traces", ()):
                stored[trace["traceID"].zfill(32)] |= {span.span_id: span for span in _spans(trace)}
        start += _SLICE_SECONDS
    return Lookup({trace_id: list(spans.values()) for trace_id, spans in stored.items()}, store.trace)


class Lookup:
    """Answers for each trace once with the result of the searches, and then with what the store has by its id."""

    def __init__(self, searched: dict[str, list[Span]], by_id: Callable[[str], list[Span]]) -> None:
        self._searched = searched
        self._by_id = by_id

    def __call__(self, trace_id: str) -> list[Span]:
        """The spans of a trace."""
        return self._searched.pop(trace_id, None) or self._by_id(trace_id)


def _spans(trace: dict[str, Any]) -> Iterator[Span]:
    for matches in trace.get("spanSets") or [trace["spanSet"]]:
        for span in matches["spans"]:
            start = int(span["startTimeUnixNano"])
            yield Span(
                span_id=span["spanID"].zfill(16),
                parent_id="",
                service="",
                name="",
                kind="",
                start=start,
                end=start + int(span["durationNanos"]),
                error=False,
            )
