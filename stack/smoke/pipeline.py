"""The smoke check of a stack without services: it sends a trace to the Collectors, as a service of the users does."""

import secrets
import time
from typing import Any, Final

import httpx

from contracts.http import KEEP_KEY
from stack.clients.traces import Span, TraceStoreClient
from stack.kubernetes.client import connect
from stack.polling import CheckFailure
from stack.settings import Settings
from stack.smoke.check import CALLS_QUERY, TRACE_SECONDS, Report, wait, wait_for_calls
from stack.stores import Stores

_SERVICE: Final = "smoke-check"
_ATTRIBUTE: Final = "smoke_check.id"
_SEND_SECONDS: Final = 15.0
_SEARCH_SECONDS: Final = 30.0
_MARGIN_SECONDS: Final = 60.0
"""Clocks differ: the searched time begins so long before the trace."""


def check_pipeline(settings: Settings) -> Report:
    """Sends a trace of two spans to the Collectors and proves that it is stored, can be searched, and is counted.

    Raises:
        CheckFailure: names what is missing and what to look at.
        DeployError: the cluster cannot be used.
    """
    namespace = settings.cluster.namespace
    stores = Stores(settings=settings, client=connect(settings.cluster))
    token = stores.otlp_token()
    with stores.collector() as collector, stores.traces() as store, stores.prometheus() as prometheus:
        trace_id, identifier, started = secrets.token_hex(16), secrets.token_hex(8), time.time()
        request = _request(trace_id, identifier)
        logs = f"kubectl -n {namespace} logs collector-0"
        wait("the Collector to accept a trace", lambda: _send(collector, token, request), _SEND_SECONDS, logs)
        sent_at = time.monotonic()
        spans = _wait_for_trace(store, trace_id, logs)
        stored_at = time.monotonic()
        query = _query(store.backend, identifier)
        _wait_for_search(store, trace_id, query, started)
        found_at = time.monotonic()
        calls = wait_for_calls(prometheus, {_SERVICE})
        return Report(
            trace_id=trace_id,
            spans=spans,
            hops={},
            calls=calls,
            trace_seconds=stored_at - sent_at,
            search_seconds=found_at - sent_at,
            query=store.url(trace_id).removeprefix(store.base_url),
            search_query=query,
            metrics_query=CALLS_QUERY,
        )


def _request(trace_id: str, identifier: str) -> dict[str, Any]:
    """Returns the OTLP request, in JSON: a request that the service handles, and a call that it makes."""
    now = time.time_ns()
    handled, made = secrets.token_hex(8), secrets.token_hex(8)

    def span(span_id: str, parent: str, kind: int, name: str, milliseconds: int) -> dict[str, Any]:
        return {
            "traceId": trace_id,
            "spanId": span_id,
            "parentSpanId": parent,
            # The samplers keep the trace.
            "traceState": f"{KEEP_KEY}=1",
            "flags": 1,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": str(now),
            "endTimeUnixNano": str(now + milliseconds * 1_000_000),
            "attributes": [{"key": _ATTRIBUTE, "value": {"stringValue": identifier}}],
        }

    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": _SERVICE}}]}
    spans = [span(handled, "", 2, "smoke check", 10), span(made, handled, 3, "call", 5)]
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": _SERVICE}, "spans": spans}]}]}


def _send(collector: str, token: str, request: dict[str, Any]) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    httpx.post(f"{collector}/v1/traces", json=request, headers=headers, timeout=5).raise_for_status()
    return True


def _wait_for_trace(store: TraceStoreClient, trace_id: str, look_at: str) -> list[Span]:
    def whole() -> list[Span]:
        spans = store.trace(trace_id)
        if len(spans) < 2:
            raise CheckFailure(f"{len(spans)} of 2 spans are stored", look_at)
        return spans

    return wait(f"the whole trace {trace_id} in the store", whole, TRACE_SECONDS, look_at)


def _query(backend: str, identifier: str) -> dict[str, Any]:
    if backend == "tempo":
        return {"query": f'{{ span.{_ATTRIBUTE} = "{identifier}" }}'}
    return {"service": _SERVICE, "tags": f"{_ATTRIBUTE}={identifier}"}


def _wait_for_search(store: TraceStoreClient, trace_id: str, query: dict[str, Any], started: float) -> None:
    def searchable() -> bool:
        start, end = started - _MARGIN_SECONDS, time.time() + _MARGIN_SECONDS
        return any(result.trace_id == trace_id for result in store.search(query, start=start, end=end))

    what = f"a search in the store that finds trace {trace_id}, which the store has"
    wait(what, searchable, _SEARCH_SECONDS, "the log of the trace store")
