"""What users have in a running stack: tasks, traces, metrics, logs, and what they made in Grafana."""

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from checks.chaos.cluster import LocalCluster
from contracts import endpoints, metrics
from contracts.secret_keys import GRAFANA_ADMIN_PASSWORD, SECRET
from stack.clients.traces import Span, TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until
from stack.settings import Settings
from stack.smoke.check import TASK_SECONDS, TRACE_SECONDS, submit
from stack.smoke.match import match_hops

_TASKS: Final = 20
_CALLS: Final = f"sum({metrics.SPAN_CALLS})"
_STEADY_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.25
_SCRAPED_SECONDS: Final = 10.0


class Stack:
    """A running local stack, as its users reach it."""

    def __init__(self, settings: Settings) -> None:
        cluster = LocalCluster(settings)
        self.settings = settings

        def url(name: str, port: int) -> str:
            return f"http://{cluster.address(name)}:{port}"

        self.gateway = url(endpoints.GATEWAY, endpoints.SERVICE_PORT)
        self.prometheus = url(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT)
        self.store = TraceStoreClient(
            settings.traces.backend, url(*endpoints.TRACE_QUERY[settings.traces.backend]), _get
        )
        self.loki = url(endpoints.LOKI, endpoints.LOKI_PORT) if settings.logs.enabled else None
        self.grafana: Grafana | None = None
        if settings.grafana.enabled:
            password = read_secret(connect(settings.cluster), settings.cluster.namespace, SECRET)
            self.grafana = Grafana(url(endpoints.GRAFANA, endpoints.GRAFANA_PORT), password[GRAFANA_ADMIN_PASSWORD])

    def task(self, identifier: str) -> dict[str, Any]:
        """A task as the front door shows it."""
        found: dict[str, Any] = _get(f"{self.gateway}/api/tasks/{identifier}", timeout=10).raise_for_status().json()
        return found

    def calls(self, at: float) -> float | None:
        """Calls that the span metrics had counted at a moment; None if nothing is known of it."""
        answer = _get(f"{self.prometheus}/api/v1/query", params={"query": _CALLS, "time": at}, timeout=10)
        result = answer.raise_for_status().json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def lines(self, trace_id: str, since: float) -> int:
        """Log lines of a trace."""
        window = {"start": f"{since - 60:.0f}", "end": f"{since + 600:.0f}", "limit": 1000}
        query = f'{{service_namespace=~".+"}} | trace_id=`{trace_id}`'
        answer = _get(f"{self.loki}/loki/api/v1/query_range", params={"query": query, **window}, timeout=10)
        return sum(len(stream["values"]) for stream in answer.raise_for_status().json()["data"]["result"])


@dataclass(frozen=True)
class Grafana:
    """Grafana's API, as its administrator."""

    url: str
    password: str
    transport: httpx.BaseTransport | None = None

    def make_folder(self, uid: str) -> None:
        """A folder, which no file provisions: it is in Grafana's own database."""
        with self._client() as client:
            client.post("/api/folders", json={"uid": uid, "title": uid}).raise_for_status()

    def has_folder(self, uid: str) -> bool:
        """Whether it is there."""
        with self._client() as client:
            answer = client.get(f"/api/folders/{uid}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        answer.raise_for_status()
        return True

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, auth=("admin", self.password), timeout=10, transport=self.transport)


@dataclass(frozen=True, kw_only=True)
class Data:
    """What was in a stack at a moment."""

    at: float
    """When the calls were counted, in s since the epoch."""
    tasks: Mapping[str, Mapping[str, Any]]
    """Id → the completed task."""
    traces: Mapping[str, frozenset[str]]
    """Trace id → the ids of its spans."""
    calls: float
    lines: Mapping[str, int]
    """Trace id → its log lines; empty without a log store."""
    folder: str
    """In Grafana, where there is one."""

    def lost(self, stack: Stack) -> list[str]:
        """What of it is not there any more, or another."""
        return list(self._lost(stack))

    def _lost(self, stack: Stack) -> Iterator[str]:
        for identifier, task in self.tasks.items():
            if (now := stack.task(identifier)) != task:
                yield f"task {identifier} is another: {now}"
        for trace_id, spans in self.traces.items():
            if missing := spans - _ids(stack.store.trace(trace_id)):
                yield f"trace {trace_id} lacks {len(missing)} of {len(spans)} spans"
        if (calls := stack.calls(self.at)) != self.calls:
            yield f"the calls counted at {self.at:.0f} are {calls}, not {self.calls}"
        for trace_id, count in self.lines.items():
            if (left := stack.lines(trace_id, self.at)) < count:
                yield f"trace {trace_id} has {left} of {count} log lines"
        if stack.grafana and not stack.grafana.has_folder(self.folder):
            yield f"Grafana's folder {self.folder} is gone"

    def __str__(self) -> str:
        spans = sum(map(len, self.traces.values()))
        lines = sum(self.lines.values())
        return (
            f"{len(self.tasks)} tasks, {len(self.traces)} traces of {spans} spans, {lines} log lines, "
            f"{self.calls:,.0f} calls counted"
        )


def write(stack: Stack) -> Data:
    """Tasks, each with a trace of its own, and whatever follows from them.

    Raises:
        CheckFailure: a task is not completed, or its trace is not whole in time.
    """
    began = time.time()
    tasks: dict[str, Mapping[str, Any]] = {}
    traces: dict[str, frozenset[str]] = {}
    for _ in range(_TASKS):
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)

        def sent(trace_id: str = trace_id, span_id: str = span_id) -> httpx.Response:
            return submit(stack.gateway, trace_id, span_id).raise_for_status()

        identifier = poll_until(
            "the gateway to accept a task", sent, seconds=15, every=_PAUSE_SECONDS, look_at="the gateway's logs"
        ).json()["id"]

        def completed(identifier: str = identifier) -> dict[str, Any] | None:
            found = stack.task(identifier)
            return found if found["status"] == "completed" else None

        def whole(trace_id: str = trace_id, span_id: str = span_id) -> frozenset[str]:
            spans = stack.store.trace(trace_id)
            match_hops(spans, span_id)
            return _ids(spans)

        tasks[identifier] = poll_until(
            f"task {identifier} to be completed",
            completed,
            seconds=TASK_SECONDS,
            every=_PAUSE_SECONDS,
            look_at="the task-manager's logs",
        )
        traces[trace_id] = poll_until(
            f"the whole trace {trace_id} in the store",
            whole,
            seconds=TRACE_SECONDS,
            every=_PAUSE_SECONDS,
            look_at=stack.store.url(trace_id),
        )
    folder = f"kept-{secrets.token_hex(4)}"
    if stack.grafana:
        stack.grafana.make_folder(folder)

    def logged(trace_id: str) -> int:
        return poll_until(
            f"log lines of trace {trace_id} in Loki",
            lambda: stack.lines(trace_id, began),
            seconds=_STEADY_SECONDS,
            every=_PAUSE_SECONDS,
        )

    lines = {key: logged(key) for key in traces} if stack.loki else {}

    def counted() -> tuple[float, float] | None:
        # A moment ago: what was scraped since then may still be on its way into the database.
        at = time.time() - _SCRAPED_SECONDS
        found = stack.calls(at)
        return (at, found) if found else None

    at, calls = poll_until("span metrics", counted, seconds=_STEADY_SECONDS, every=_PAUSE_SECONDS, look_at=_CALLS)
    return Data(at=at, tasks=tasks, traces=traces, calls=calls, lines=lines, folder=folder)


def _ids(spans: Iterable[Span]) -> frozenset[str]:
    return frozenset(span.span_id for span in spans)


def _get(url: str, **options: Any) -> httpx.Response:
    """Asked again for a while: what has just been replaced may not answer yet."""
    return poll_until(
        f"an answer of {url}", lambda: httpx.get(url, **options), seconds=_STEADY_SECONDS, every=_PAUSE_SECONDS
    )
