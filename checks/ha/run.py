"""One row: the load, the fault, the alerts meanwhile; then everything whole, and the ledgers compared."""

import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from checks.chaos.cluster import LocalCluster
from checks.chaos.ledger import read
from checks.chaos.requests import Requests
from checks.chaos.verify import Verdict, verify
from checks.ha.alerts import ANSWER_SECONDS, AlertWatch
from checks.ha.client import Client, Sent
from checks.ha.model import Result, covered
from checks.ha.rows import Row
from checks.ha.searched import searched
from checks.ha.stack import Stack
from contracts import endpoints, http, span_attributes
from contracts.service_metrics import UNDER_REPLICATED_PARTITIONS
from contracts.services import GATEWAY
from contracts.tasks import TaskStatus
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.polling import CheckFailure, poll_until
from stack.probe.request import authorization

_WARM_UP_SECONDS: Final = 20.0
_WHOLE_SECONDS: Final = 420.0
_TASK_SECONDS: Final = 120.0
_SPAN_SECONDS: Final = 300.0
"""A live store that was lost cannot answer for the spans that it had read: they are found when a block has them."""
_PAUSE_SECONDS: Final = 1.0
_READERS: Final = 4


def run_row(
    name: str,
    row: Row,
    stack: Stack,
    directory: Path,
    *,
    seconds: float,
    outage: float,
    rate: float,
    spans_rate: float,
    on_progress: Callable[[str], None],
) -> Result:
    """Runs one row.

    Args:
        name: of the row.
        row: what it does.
        stack: the running stack.
        directory: of its files.
        seconds: the window under load.
        outage: how long a fault with a duration lasts, in s.
        rate: requests per second.
        spans_rate: spans per second.
        on_progress: takes a line of progress.
    """
    wait_whole(stack.cluster)
    directory.mkdir(parents=True, exist_ok=True)
    client = Client(stack.cluster, row.client, directory, f"{name}-{secrets.token_hex(4)}", stack.page)
    alerts = AlertWatch(lambda: _prometheuses(stack.cluster), lambda: _alertmanagers(stack.cluster))
    whole, note = -1.0, ""
    began = time.monotonic()
    with alerts.watching(), client.sending(rate, spans_rate):
        time.sleep(_WARM_UP_SECONDS)
        alerts.start()
        on_progress(f"{name}: the fault begins")
        row.fault(stack, outage)
        ended = time.monotonic()
        on_progress(f"{name}: the fault has ended")
        try:
            wait_whole(stack.cluster)
            whole = time.monotonic() - ended
        except CheckFailure as failure:
            note = str(failure)
        on_progress(f"{name}: whole after {whole:.0f} s")
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    end = time.monotonic()
    sent, window = client.sent, end - began
    fired = dict(alerts.seconds)
    ends = _ends(stack.cluster, sent)
    verdict = _spans(stack.cluster, sent, window)
    searched_seconds = time.monotonic() - end
    (directory / "lost.json").write_text(json.dumps({"tasks": ends.lost, "spans": verdict.lost}))
    (directory / "failures.json").write_text(json.dumps(sent.failures))
    return Result(
        row=row.title,
        seconds=window,
        tasks=len(sent.tasks),
        lost_tasks=len(ends.lost),
        task_errors=dict(ends.errors),
        spans=verdict.acknowledged,
        lost_spans=len(verdict.lost),
        searched_seconds=searched_seconds,
        rate=rate,
        requests=sent.requests,
        failed=len(sent.failures),
        failing_seconds=covered((start, end) for start, end, _ in sent.failures),
        slowest_seconds=sent.slowest,
        reasons=dict(Counter(reason for _, _, reason in sent.failures)),
        whole_seconds=whole,
        alerts=fired,
        expected=row.expected,
        note=note,
    )


def wait_whole(cluster: LocalCluster) -> None:
    """Waits until all nodes and pods are ready, and no partition of Kafka misses a replica.

    Raises:
        CheckFailure: they are not in time.
    """
    poll_until(
        "everything to be whole",
        lambda: _require_whole(cluster),
        seconds=_WHOLE_SECONDS,
        every=_PAUSE_SECONDS,
        look_at=f"kubectl -n {cluster.namespace} get pods -o wide",
    )


def _require_whole(cluster: LocalCluster) -> bool:
    if missing := cluster.not_ready():
        raise CheckFailure(f"not ready: {', '.join(missing)}")
    # Not `max`, which leaves out the services that do not know the number.
    query = f"sum({UNDER_REPLICATED_PARTITIONS})"
    missing_replicas = [series.value for each in _prometheuses(cluster)[:1] for series in each.query(query)]
    if missing_replicas != [0]:
        raise CheckFailure(f"partitions without all replicas: {missing_replicas}")
    return True


def _prometheuses(cluster: LocalCluster) -> list[PrometheusClient]:
    urls = _urls(cluster, endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT)
    return [PrometheusClient(url, seconds=ANSWER_SECONDS) for url in urls]


def _alertmanagers(cluster: LocalCluster) -> list[str]:
    return _urls(cluster, endpoints.ALERTMANAGER, endpoints.ALERTMANAGER_PORT)


def _urls(cluster: LocalCluster, name: str, port: int) -> list[str]:
    """Return the URL of each pod of a workload that is ready, at its own address."""
    return [endpoints.url(pod.status.pod_ip, port) for pod in cluster.ready(name)]


@dataclass(frozen=True, kw_only=True)
class Ends:
    """How the acknowledged tasks ended."""

    lost: list[str]
    """Ids of those that did not end in time."""
    errors: Mapping[str, int]
    """Why pages were not crawled → how many tasks. The page of the load always answers."""


def _ends(cluster: LocalCluster, sent: Sent) -> Ends:
    deadline = time.monotonic() + _TASK_SECONDS
    gateway = f"http://{cluster.address(GATEWAY)}:{endpoints.SERVICE_PORT}"

    def wait(client: httpx.Client, identifier: str) -> dict[str, Any] | None:
        """The task, once it has ended."""
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = client.get(f"{gateway}{http.TASKS}/{identifier}", timeout=10)
                task: dict[str, Any] = answer.json() if answer.is_success else {}
                if task.get("status", TaskStatus.NEW) != TaskStatus.NEW:
                    return task
            if time.monotonic() > deadline:
                return None
            time.sleep(0.5)

    with httpx.Client(headers=authorization(cluster.stack_key())) as client, ThreadPoolExecutor(_READERS) as pool:
        tasks = list(pool.map(lambda identifier: wait(client, identifier), sent.tasks))
    return Ends(
        lost=[identifier for identifier, task in zip(sent.tasks, tasks, strict=True) if task is None],
        errors=Counter(task["result"]["error"] for task in tasks if task and task["status"] == TaskStatus.ERROR),
    )


def _spans(cluster: LocalCluster, sent: Sent, seconds: float) -> Verdict:
    backend = cluster.settings.traces.backend
    name, port = endpoints.TRACE_QUERY[backend]
    with httpx.Client() as client:
        store = TraceStoreClient(backend, f"http://{cluster.address(name)}:{port}", client.get)
        lookup = store.trace
        if backend == "tempo":
            now = time.time()
            query = f'{{ span.{span_attributes.TASK_ID} =~ "{sent.run}-.*" }}'
            lookup = searched(store, client, query, now - seconds - _TASK_SECONDS, now)
        return verify(Requests(sent.run), read(sent.ledger), lookup, late_seconds=_SPAN_SECONDS)
