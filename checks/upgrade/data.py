"""The data of a running stack: tasks, traces, metrics, logs, and a folder in Grafana."""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from checks.chaos.cluster import LocalCluster
from contracts import endpoints, metrics
from contracts.http import TASKS
from contracts.secret_keys import GRAFANA_ADMIN_PASSWORD, SECRET
from contracts.services import GATEWAY
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import Span, TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until
from stack.probe.match import match_hops
from stack.probe.request import Caller, authorization, submit
from stack.settings import Settings
from stack.smoke.check import TASK_SECONDS
from stack.smoke.stored import TRACE_SECONDS

_TASKS: Final = 20
_USER: Final = Caller(email="kept@example.com", user_agent="web-crawl-upgrade-check", service="upgrade-check")
"""Not the smoke check, whose tasks are deleted after an hour."""
_ACCEPT_SECONDS: Final = 15.0
CALLS_QUERY: Final = f"sum({metrics.SPAN_CALLS})"
_STEADY_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.25
_SCRAPED_SECONDS: Final = 10.0

T = TypeVar("T")


class Stack:
    """A running local stack, as its users reach it."""

    def __init__(self, settings: Settings) -> None:
        cluster = LocalCluster(settings)
        self.settings = settings
        self.key = cluster.stack_key()

        def url(name: str, port: int) -> str:
            return f"http://{cluster.address(name)}:{port}"

        self.gateway = url(GATEWAY, endpoints.SERVICE_PORT)
        self.prometheus = PrometheusClient(url(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT), _get)
        self.store = TraceStoreClient(
            settings.traces.backend, url(*endpoints.TRACE_QUERY[settings.traces.backend]), _get
        )
        self.loki = LokiClient(url(endpoints.LOKI, endpoints.LOKI_PORT), _get) if settings.logs.enabled else None
        self.grafana: Grafana | None = None
        if settings.grafana.built:
            password = read_secret(connect(settings.cluster), settings.cluster.namespace, SECRET)
            self.grafana = Grafana(url(endpoints.GRAFANA, endpoints.GRAFANA_PORT), password[GRAFANA_ADMIN_PASSWORD])

    def task(self, identifier: str) -> dict[str, Any]:
        """A task as the gateway shows it."""
        answer = _get(f"{self.gateway}{TASKS}/{identifier}", headers=authorization(self.key), timeout=10)
        task: dict[str, Any] = answer.raise_for_status().json()
        return task

    def calls(self, timestamp: float) -> float | None:
        """The calls that the span metrics had counted at a time; None if Prometheus has no value."""
        result = self.prometheus.query(CALLS_QUERY, timestamp)
        return result[0].value if result else None

    def lines(self, trace_id: str, since: float) -> int:
        """The number of log lines of a trace."""
        assert self.loki
        query = f'{{service_namespace=~".+"}} | trace_id=`{trace_id}`'
        lines, _ = self.loki.query_range(query, start=since - 60, end=since + 600, limit=1000)
        return len(lines)


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
    """The data of a stack at one time."""

    time: float
    """When the calls were counted, in s since the epoch."""
    tasks: Mapping[str, Mapping[str, Any]]
    """Id → the completed task."""
    traces: Mapping[str, frozenset[str]]
    """Trace id → the ids of its spans."""
    calls: float
    lines: Mapping[str, int]
    """Trace id → its log lines; empty without a log store."""
    folder: str
    """The folder in Grafana, if the stack has Grafana."""

    def lost(self, stack: Stack) -> list[str]:
        """A line for everything that is missing or has changed."""
        return list(self._lost(stack))

    def _lost(self, stack: Stack) -> Iterator[str]:
        for identifier, task in self.tasks.items():
            if (now := stack.task(identifier)) != task:
                yield f"task {identifier} has changed: {now}"
        for trace_id, spans in self.traces.items():
            if missing := spans - _ids(stack.store.trace(trace_id)):
                yield f"trace {trace_id} lacks {len(missing)} of {len(spans)} spans"
        if (calls := stack.calls(self.time)) != self.calls:
            yield f"the calls counted at {self.time:.0f} are {calls}, not {self.calls}"
        for trace_id, count in self.lines.items():
            if (left := stack.lines(trace_id, self.time)) < count:
                yield f"trace {trace_id} has {left} of {count} log lines"
        if stack.grafana and not stack.grafana.has_folder(self.folder):
            yield f"Grafana's folder {self.folder} is missing"

    def __str__(self) -> str:
        spans = sum(map(len, self.traces.values()))
        lines = sum(self.lines.values())
        return (
            f"{len(self.tasks)} tasks, {len(self.traces)} traces of {spans} spans, {lines} log lines, "
            f"{self.calls:,.0f} calls counted"
        )


def write(stack: Stack) -> Data:
    """Creates tasks, each with its own trace, and waits for the data that follows from them.

    Raises:
        CheckFailure: a task is not completed, or its trace is not whole in time.
    """
    started = time.time()
    # All are created before the first wait, so that the stack works on them at the same time.
    created = {secrets.token_hex(16): secrets.token_hex(8) for _ in range(_TASKS)}
    identifiers = [_create_task(stack, trace_id, span_id) for trace_id, span_id in created.items()]
    tasks = {identifier: _wait_for_task(stack, identifier) for identifier in identifiers}
    traces = {trace_id: _wait_for_trace(stack, trace_id, span_id) for trace_id, span_id in created.items()}
    folder = f"kept-{secrets.token_hex(4)}"
    if stack.grafana:
        stack.grafana.make_folder(folder)
    lines = {trace_id: _wait_for_lines(stack, trace_id, started) for trace_id in traces} if stack.loki else {}
    timestamp, calls = _wait_for_calls(stack)
    return Data(time=timestamp, tasks=tasks, traces=traces, calls=calls, lines=lines, folder=folder)


def _wait(what: str, probe: Callable[[], T | None], seconds: float, look_at: str = "") -> T:
    return poll_until(what, probe, seconds=seconds, every=_PAUSE_SECONDS, look_at=look_at)


def _create_task(stack: Stack, trace_id: str, span_id: str) -> str:
    """Creates a task as part of a trace; returns its id."""
    answer = _wait(
        "the gateway to accept a task",
        lambda: submit(stack.gateway, trace_id, span_id, caller=_USER, key=stack.key).raise_for_status(),
        _ACCEPT_SECONDS,
        "the gateway's logs",
    )
    return str(answer.json()["id"])


def _wait_for_task(stack: Stack, identifier: str) -> dict[str, Any]:
    """Returns a task once it is completed."""

    def completed() -> dict[str, Any] | None:
        task = stack.task(identifier)
        return task if task["status"] == "completed" else None

    return _wait(f"task {identifier} to be completed", completed, TASK_SECONDS, "the task-manager's logs")


def _wait_for_trace(stack: Stack, trace_id: str, span_id: str) -> frozenset[str]:
    """Returns the span ids of a trace once it has every hop."""

    def whole() -> frozenset[str]:
        spans = stack.store.trace(trace_id)
        match_hops(spans, span_id)
        return _ids(spans)

    return _wait(f"the whole trace {trace_id} in the store", whole, TRACE_SECONDS, stack.store.url(trace_id))


def _wait_for_lines(stack: Stack, trace_id: str, since: float) -> int:
    """Returns the number of log lines of a trace once Loki has some."""
    return _wait(f"log lines of trace {trace_id} in Loki", lambda: stack.lines(trace_id, since), _STEADY_SECONDS)


def _wait_for_calls(stack: Stack) -> tuple[float, float]:
    """Returns a time, and the calls that the span metrics had counted by then, once there are some."""

    def counted() -> tuple[float, float] | None:
        # Some seconds ago: later scrapes may not be in the database yet.
        timestamp = time.time() - _SCRAPED_SECONDS
        calls = stack.calls(timestamp)
        return (timestamp, calls) if calls else None

    return _wait("span metrics", counted, _STEADY_SECONDS, CALLS_QUERY)


def _ids(spans: Iterable[Span]) -> frozenset[str]:
    return frozenset(span.span_id for span in spans)


def _get(url: str, **options: Any) -> httpx.Response:
    """A GET that is repeated for a while: a program that has just been replaced may not answer yet."""
    return poll_until(
        f"an answer of {url}", lambda: httpx.get(url, **options), seconds=_STEADY_SECONDS, every=_PAUSE_SECONDS
    )
