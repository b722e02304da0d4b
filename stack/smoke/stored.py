"""Looks for the trace of the smoke check in the trace store: by its id, then as a person searches for it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from contracts.hops import Hop
from stack.clients.traces import Span, TraceStoreClient
from stack.polling import poll_until
from stack.probe.search import is_searchable
from stack.smoke.model import StoredTrace

TRACE_SECONDS: Final = 45.0
_SEARCH_SECONDS: Final = 30.0
"""Tempo in parts needs up to 15 s: 10 s until a live store has written a span, and the end that it leaves out."""
_PAUSE_SECONDS: Final = 0.25

Spans = tuple[Sequence[Span], Mapping[Hop, Span]]
"""The spans of a trace, and the span of each hop; no hops in a stack without services."""


def wait_for_trace(
    store: TraceStoreClient,
    trace_id: str,
    whole: Callable[[Sequence[Span]], Spans],
    search: Mapping[str, Any],
    *,
    started: float,
    look_at: str,
) -> StoredTrace:
    """Waits until the store has the whole trace, and a search finds it.

    Args:
        store: the trace store.
        trace_id: of the trace.
        whole: takes the spans that the store has; raises `CheckFailure` if one is missing.
        search: in the terms of the store.
        started: when the trace began, in s since the epoch.
        look_at: what explains a missing span.

    Raises:
        CheckFailure: names what is missing.
    """
    sent_at = time.monotonic()
    spans, hops = poll_until(
        f"the whole trace {trace_id} in the store",
        lambda: whole(store.trace(trace_id)),
        seconds=TRACE_SECONDS,
        every=_PAUSE_SECONDS,
        look_at=f"{store.url(trace_id)} and {look_at}",
    )
    stored_at = time.monotonic()
    text = " ".join(map(str, search.values()))
    poll_until(
        f"a search for {text} in the store that finds trace {trace_id}, which the store has",
        lambda: is_searchable(store, trace_id, search, start=started, end=time.time()),
        seconds=_SEARCH_SECONDS,
        every=_PAUSE_SECONDS,
        look_at="`query_end_cutoff` and `live_store` in Tempo's configuration"
        if store.backend == "tempo"
        else "Jaeger's logs",
    )
    return StoredTrace(
        spans=spans,
        hops=hops,
        trace_seconds=stored_at - sent_at,
        search_seconds=time.monotonic() - sent_at,
        query=store.url(trace_id).removeprefix(store.base_url),
        search_query=search,
    )
