"""The smoke check: sends a request, follows its task, and compares the stored trace with the edge table."""

import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from contracts import metrics
from contracts.hops import HOPS
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from contracts.tasks import REFUSED
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import Span
from stack.components.encryption.settings import STEPS
from stack.kubernetes.client import connect
from stack.polling import CheckFailure, poll_until
from stack.probe.match import match_hops
from stack.probe.request import SMOKE_CHECK, TaskFailed, accepted_task, completed_task, own_page, submit
from stack.probe.root import Collector, RootSpan
from stack.probe.search import task_query
from stack.settings import Settings
from stack.smoke.acknowledged import Watch
from stack.smoke.model import Report, StoredTrace
from stack.smoke.stored import Spans, wait_for_trace
from stack.stores import Stores

TASK_SECONDS: Final = 30.0
_ACCEPT_SECONDS: Final = 15.0
_METRICS_SECONDS: Final = 60.0
_ROUTE_SECONDS: Final = 15.0
"""How long the Service of the gateway's page may refuse connections after a deployment: kube-proxy needs a moment, on
each node, to learn the address of a new pod."""
_PAUSE_SECONDS: Final = 0.25
CALLS_QUERY: Final = f"sum by ({metrics.SERVICE}) ({metrics.SPAN_CALLS})"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Request:
    """A request that the gateway accepted."""

    root: RootSpan
    sent_at: float
    """As `time.monotonic` counts."""


def check(settings: Settings, *, task_seconds: float = TASK_SECONDS) -> Report:
    """Sends one request through the stack and proves that it was traced.

    If the trace store cannot be queried, the check ends at its receiver: it has acknowledged the spans.

    Args:
        settings: the stack's settings.
        task_seconds: how long the task may take.

    Raises:
        CheckFailure: names the hop that is missing and what to look at.
        DeployError: the cluster cannot be used.
    """
    namespace = settings.cluster.namespace
    stores = Stores(settings=settings, client=connect(settings.cluster))
    key = stores.stack_key()
    with stores.gateway() as gateway, stores.prometheus() as prometheus:
        watch = None if settings.traces.queried else Watch(prometheus, settings)
        with stores.collector() as (collector, http):

            def attempt() -> tuple[_Request, dict[str, Any]]:
                request = _send(gateway, key, settings)
                receiver = Collector(
                    url=collector, token=stores.otlp_token(), environment=settings.environment, post=http.post
                )
                _send_root(receiver, request.root, namespace)
                return request, _wait_for_task(gateway, key, namespace, request.root.task_id, task_seconds)

            request, task = until_fetched(attempt, _logs(namespace, CRAWLER))
        completed_at = time.monotonic()
        return Report(
            trace_id=request.root.trace_id,
            task=task,
            task_seconds=completed_at - request.sent_at,
            stored=None if watch else _stored(stores, request.root, namespace),
            acknowledged=watch.wait() if watch else (),
            calls=wait_for_calls(prometheus, {hop.service for hop in HOPS}),
            metrics_query=CALLS_QUERY,
        )


def until_fetched(
    attempt: Callable[[], T],
    look_at: str,
    *,
    seconds: float = _ROUTE_SECONDS,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Sends requests until the page of a task can be fetched, and returns the result of that attempt.

    Args:
        attempt: sends a request and waits for its task.
        look_at: what explains a failed task.
        seconds: how long the page's server may refuse connections; any other failure ends the check at once.
        sleep: pauses for some seconds.

    Raises:
        CheckFailure: the task failed.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except TaskFailed as error:
            if error.reason != REFUSED or time.monotonic() > deadline:
                raise CheckFailure(str(error), look_at) from None
            print(f"{error}; sending another request", file=sys.stderr, flush=True)
        sleep(1.0)


def wait(what: str, probe: Callable[[], T | None], seconds: float, look_at: str) -> T:
    """Waits for a result of `probe`; see `poll_until`."""
    return poll_until(what, probe, seconds=seconds, every=_PAUSE_SECONDS, look_at=look_at)


def _send(gateway: str, key: str, settings: Settings) -> _Request:
    """Sends the request, in a trace of its own."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    logs = _logs(settings.cluster.namespace, GATEWAY)
    page = own_page(encrypted=STEPS[settings.encryption.services].speaks_tls)
    sent_at, started = time.monotonic(), time.time_ns()
    answer = wait(
        "the gateway to accept a request",
        lambda: submit(gateway, trace_id, span_id, page=page, key=key).raise_for_status(),
        _ACCEPT_SECONDS,
        logs,
    )
    root = RootSpan(
        trace_id=trace_id,
        span_id=span_id,
        caller=SMOKE_CHECK,
        started=started,
        ended=time.time_ns(),
        task_id=accepted_task(answer, trace_id, logs),
    )
    return _Request(root=root, sent_at=sent_at)


def _send_root(collector: Collector, root: RootSpan, namespace: str) -> None:
    """Sends the root of the trace, so that the results of a search show its service and name."""

    def sent() -> bool:
        collector.export(root)
        return True

    wait("the Collector to accept the root span", sent, _ACCEPT_SECONDS, f"kubectl -n {namespace} logs collector-0")


def _wait_for_task(gateway: str, key: str, namespace: str, identifier: str, seconds: float) -> dict[str, Any]:
    """Returns the task, as the gateway shows it, once it is completed."""
    what = f"task {identifier} to be completed"
    return wait(what, lambda: completed_task(gateway, identifier, key=key), seconds, _logs(namespace, TASK_MANAGER))


def _stored(stores: Stores, root: RootSpan, namespace: str) -> StoredTrace:
    """Returns the trace, once the store has its root and every hop, and a search finds it."""

    def whole(spans: Sequence[Span]) -> Spans:
        hops = match_hops(spans, root.span_id)
        if not any(span.span_id == root.span_id for span in spans):
            raise CheckFailure("the root span is missing")
        return spans, hops

    with stores.traces() as store:
        return wait_for_trace(
            store,
            root.trace_id,
            whole,
            task_query(store.backend, root.task_id),
            started=root.started / 1e9,
            look_at=f"the Collector's logs: kubectl -n {namespace} logs collector-0",
        )


def wait_for_calls(prometheus: PrometheusClient, services: set[str]) -> dict[str, float]:
    """Returns the calls by service, once the span metrics count calls of every service."""

    def counted() -> dict[str, float]:
        calls = {series.labels.get("service_name", "?"): series.value for series in prometheus.query(CALLS_QUERY)}
        # A counter may be scraped at 0 before it has counted the call.
        missing = {service for service in services if not calls.get(service)}
        if missing:
            raise CheckFailure(f"no span metrics of {', '.join(sorted(missing))}", CALLS_QUERY)
        return calls

    return wait("span metrics of every service in Prometheus", counted, _METRICS_SECONDS, CALLS_QUERY)


def _logs(namespace: str, deployment: str) -> str:
    return f"kubectl -n {namespace} logs deployment/{deployment}"
