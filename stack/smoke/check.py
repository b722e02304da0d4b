"""The smoke check: send a request, follow the task, fetch the trace by id, hold it against the edge table."""

import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

import httpx

from collector.pipeline import KEEP_KEY
from contracts import endpoints
from stack.clients.traces import Span, TraceStoreClient
from stack.kubernetes.apply import connect
from stack.kubernetes.port_forward import forward
from stack.polling import CheckFailure, poll_until
from stack.settings import Settings
from stack.smoke.edges import HOPS, Hop, match

TASK_SECONDS: Final = 30.0
TRACE_SECONDS: Final = 45.0
METRICS_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the check saw."""

    trace_id: str
    task: dict[str, Any]
    spans: list[Span]
    hops: dict[Hop, Span]
    calls: dict[str, float]
    """Span-metric calls by service, from Prometheus."""
    task_seconds: float
    """From the request to the task's `completed`."""
    trace_seconds: float
    """From `completed` to the whole trace in the store."""
    query: str
    """Path of the store's API that answers with the trace."""
    metrics_query: str


def check(settings: Settings) -> Report:
    """Sends one request through the stack and proves that it was traced.

    Raises:
        CheckFailure: names the hop that is missing and what to look at.
        DeployError: the cluster cannot be used.
    """
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    with contextlib.ExitStack() as stack:

        def reach(name: str, port: int) -> str:
            return stack.enter_context(forward(client, namespace, name, port))

        gateway = reach(endpoints.GATEWAY, endpoints.SERVICE_PORT)
        store = TraceStoreClient(settings.traces.backend, reach(*endpoints.TRACE_QUERY[settings.traces.backend]))
        prometheus = reach(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT)

        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        started = time.monotonic()
        task = _follow(gateway, namespace, trace_id, span_id)
        completed = time.monotonic()

        def whole() -> tuple[list[Span], dict[Hop, Span]]:
            spans = store.trace(trace_id)
            return spans, match(spans, span_id)

        look_at = f"{store.url(trace_id)} and the Collector's logs: kubectl -n {namespace} logs collector-0"
        spans, hops = poll_until(
            f"the whole trace {trace_id} in the store",
            whole,
            seconds=TRACE_SECONDS,
            every=_PAUSE_SECONDS,
            look_at=look_at,
        )
        stored = time.monotonic()
        metrics_query = "sum by (service_name) (traces_span_metrics_calls_total)"
        calls = _calls(prometheus, metrics_query, {hop.service for hop in HOPS})
        return Report(
            trace_id=trace_id,
            task=task,
            spans=spans,
            hops=hops,
            calls=calls,
            task_seconds=completed - started,
            trace_seconds=stored - completed,
            query=store.url(trace_id).removeprefix(store.base_url),
            metrics_query=metrics_query,
        )


def submit(gateway: str, trace_id: str, span_id: str) -> httpx.Response:
    """Submits a task whose page the stack serves itself, as part of a trace of the caller's.

    Raises:
        httpx.HTTPError: the gateway does not answer.
    """
    body = {
        "user_email": "smoke@example.com",
        "user_query": "smoke check",
        "base_url": f"{endpoints.url(endpoints.GATEWAY, endpoints.SERVICE_PORT)}/demo",
    }
    # Sampled and kept, whatever share of the traces the services and the Collectors sample.
    headers = {"traceparent": f"00-{trace_id}-{span_id}-01", "tracestate": f"{KEEP_KEY}=1"}
    return httpx.post(f"{gateway}/api/tasks", json=body, headers=headers, timeout=10)


def _follow(gateway: str, namespace: str, trace_id: str, span_id: str) -> dict[str, Any]:
    """The task as the front door shows it once it is completed."""
    logs = f"kubectl -n {namespace} logs deployment/"

    def send() -> httpx.Response:
        return submit(gateway, trace_id, span_id).raise_for_status()

    answer = poll_until(
        "the gateway to accept a request", send, seconds=15, every=_PAUSE_SECONDS, look_at=f"{logs}gateway"
    )
    returned = answer.headers.get("traceparent", "")
    if returned.split("-")[1:2] != [trace_id]:
        raise CheckFailure(f"the gateway answered with traceparent {returned!r}, not with ours", f"{logs}gateway")
    identifier = answer.json()["id"]

    def finished() -> dict[str, Any] | None:
        got = httpx.get(f"{gateway}/api/tasks/{identifier}", timeout=10)
        if got.status_code == httpx.codes.NOT_FOUND:
            return None
        got.raise_for_status()
        task: dict[str, Any] = got.json()
        if task["status"] == "error":
            raise CheckFailure(f"task {identifier} ended in error: {task.get('result')}", f"{logs}web-crawler")
        return task if task["status"] == "completed" else None

    return poll_until(
        f"task {identifier} to be completed",
        finished,
        seconds=TASK_SECONDS,
        every=_PAUSE_SECONDS,
        look_at=f"{logs}task-manager",
    )


def _calls(prometheus: str, query: str, services: set[str]) -> dict[str, float]:
    def counted() -> dict[str, float] | None:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10)
        answer.raise_for_status()
        series = answer.json()["data"]["result"]
        calls = {item["metric"].get("service_name", "?"): float(item["value"][1]) for item in series}
        # The first sample of a counter is 0: it counts once it shows a call.
        missing = {service for service in services if not calls.get(service)}
        if missing:
            raise CheckFailure(f"no span metrics of {', '.join(sorted(missing))}", query)
        return calls

    return poll_until(
        "span metrics of every service in Prometheus",
        counted,
        seconds=METRICS_SECONDS,
        every=_PAUSE_SECONDS,
        look_at=query,
    )
