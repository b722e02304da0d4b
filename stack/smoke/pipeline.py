"""The smoke check of a stack without services: it sends a trace to the Collectors, as a service of the users does."""

import secrets
import time
from typing import Any, Final

from stack.clients.traces import Span, TraceStoreClient
from stack.kubernetes.client import connect
from stack.polling import CheckFailure
from stack.probe import otlp
from stack.probe.request import SMOKE_CHECK
from stack.probe.search import attribute_query
from stack.settings import Settings
from stack.smoke.check import CALLS_QUERY, TRACE_SECONDS, Report, wait, wait_for_calls, wait_for_search
from stack.stores import Stores

_SERVICE: Final = SMOKE_CHECK.service
_ATTRIBUTE: Final = "smoke_check.id"
_SEND_SECONDS: Final = 15.0


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
        wait("the Collector to accept a trace", lambda: otlp.send(collector, token, request), _SEND_SECONDS, logs)
        sent_at = time.monotonic()
        spans = _wait_for_trace(store, trace_id, logs)
        stored_at = time.monotonic()
        query = attribute_query(store.backend, _SERVICE, _ATTRIBUTE, identifier)
        wait_for_search(store, trace_id, query, started)
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
    """Returns the export request: a request that the service handles, and a call that it makes."""
    now = time.time_ns()
    handled, made = secrets.token_hex(8), secrets.token_hex(8)
    attributes = {_ATTRIBUTE: identifier}
    spans = [
        otlp.span(
            trace_id, handled, "smoke check", otlp.SERVER, started=now, ended=now + 10_000_000, attributes=attributes
        ),
        otlp.span(
            trace_id,
            made,
            "call",
            otlp.CLIENT,
            started=now,
            ended=now + 5_000_000,
            attributes=attributes,
            parent_id=handled,
        ),
    ]
    return otlp.export_request(_SERVICE, spans)


def _wait_for_trace(store: TraceStoreClient, trace_id: str, look_at: str) -> list[Span]:
    def whole() -> list[Span]:
        spans = store.trace(trace_id)
        if len(spans) < 2:
            raise CheckFailure(f"{len(spans)} of 2 spans are stored", look_at)
        return spans

    return wait(f"the whole trace {trace_id} in the store", whole, TRACE_SECONDS, look_at)
