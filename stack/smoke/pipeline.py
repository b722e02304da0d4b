"""The smoke check of a stack without services: it sends a trace to the Collectors, as a service of the users does."""

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from stack.clients.traces import Span
from stack.kubernetes.client import connect
from stack.polling import CheckFailure
from stack.probe import otlp
from stack.probe.request import SMOKE_CHECK
from stack.probe.search import attribute_query
from stack.settings import Settings
from stack.smoke.acknowledged import Watch
from stack.smoke.check import CALLS_QUERY, wait, wait_for_calls
from stack.smoke.model import Report, StoredTrace
from stack.smoke.stored import Spans, wait_for_trace
from stack.stores import Stores

_SERVICE: Final = SMOKE_CHECK.service
_ATTRIBUTE: Final = "smoke_check.id"
_SEND_SECONDS: Final = 15.0


def check_pipeline(settings: Settings) -> Report:
    """Sends a trace of two spans to the Collectors and proves that it is stored, can be searched, and is counted.

    If the trace store cannot be queried, the check ends at its receiver: it has acknowledged the spans.

    Raises:
        CheckFailure: names what is missing and what to look at.
        DeployError: the cluster cannot be used.
    """
    namespace = settings.cluster.namespace
    stores = Stores(settings=settings, client=connect(settings.cluster))
    token = stores.otlp_token()
    with stores.collector() as (collector, http), stores.prometheus() as prometheus:
        watch = None if settings.traces.queried else Watch(prometheus, settings)
        trace_id, identifier, started = secrets.token_hex(16), secrets.token_hex(8), time.time()
        request = _request(trace_id, identifier)
        logs = f"kubectl -n {namespace} logs collector-0"
        wait(
            "the Collector to accept a trace",
            lambda: otlp.send(collector, token, request, http.post),
            _SEND_SECONDS,
            logs,
        )
        return Report(
            trace_id=trace_id,
            stored=None if watch else _stored(stores, trace_id, identifier, started, logs),
            acknowledged=watch.wait() if watch else (),
            calls=wait_for_calls(prometheus, {_SERVICE}),
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


def _stored(stores: Stores, trace_id: str, identifier: str, started: float, look_at: str) -> StoredTrace:
    """Returns the trace, once the store has both spans, and a search finds it."""

    def whole(spans: Sequence[Span]) -> Spans:
        if len(spans) < 2:
            raise CheckFailure(f"{len(spans)} of 2 spans are stored")
        return spans, {}

    with stores.traces() as store:
        query = attribute_query(store.backend, _SERVICE, _ATTRIBUTE, identifier)
        return wait_for_trace(store, trace_id, whole, query, started=started, look_at=look_at)
