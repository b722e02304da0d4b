"""What the programs wrote last about a fault: the services' warnings, and fatal errors of their dependencies."""

import re
from collections.abc import Iterator
from typing import Final

import kubernetes

from contracts import endpoints
from contracts.services import SERVICES
from stack.clients.loki import Line, LokiClient
from stack.explain.listing import stack_pods
from stack.kubernetes.client import REQUEST_SECONDS

WINDOW_SECONDS: Final = 300.0
"""Older lines may be of another fault, which has ended."""
_COUNTED_SECONDS: Final = 60.0
_LEVEL: Final = "severity_text"
_WARNINGS: Final = f'{_LEVEL}=~"WARN|WARNING|ERROR|CRITICAL|FATAL"'
_SERVICE: Final = "service_name"
_FATAL: Final = re.compile(r"\bFATAL\b")
# The readiness probe of PostgreSQL connects without a password; the server refuses it with this line, and is ready.
_NORMAL: Final = re.compile(r'no pg_hba\.conf entry for host "(127\.0\.0\.1|\[local\])"')
_DEPENDENCIES: Final = (endpoints.POSTGRES, endpoints.KAFKA)
_MAX_LINES: Final = 2000


def newest_warnings(loki: LokiClient, now: float) -> list[str]:
    """Return the newest warning or error of each service that wrote one, with their number in the last minute.

    Args:
        loki: the log store.
        now: the time in s since the epoch.

    Raises:
        QueryError: Loki does not answer.
    """
    counts = _counts(loki, now)
    rows = []
    for service in SERVICES:
        query = f'{{{_SERVICE}="{service}"}} | {_WARNINGS}'
        lines, _ = loki.query_range(query, start=now - WINDOW_SECONDS, end=now, limit=1)
        rows += [_row(service, line, counts.get(service, 0.0), now) for line in lines]
    return rows


def _counts(loki: LokiClient, now: float) -> dict[str, float]:
    selector = f'{{{_SERVICE}=~"{"|".join(SERVICES)}"}} | {_WARNINGS}'
    query = f"sum by ({_SERVICE}) (count_over_time({selector} [{_COUNTED_SECONDS:g}s]))"
    _, counts = loki.query_range(query, start=now, end=now)
    return {series.labels[_SERVICE]: series.value for series in counts}


def _row(service: str, line: Line, count: float, now: float) -> str:
    level = line.labels.get(_LEVEL, "")
    return f"{service}: {count:g} in the last minute; the newest {now - line.time:.0f} s ago: {level} {line.text}"


def fatal_errors(client: kubernetes.client.ApiClient, namespace: str) -> list[str]:
    """Return the last fatal error of each pod of PostgreSQL and Kafka, if it wrote one within `WINDOW_SECONDS`.

    Raises:
        ApiException: the API server refuses.
    """
    return list(_fatal_errors(client, namespace))


def _fatal_errors(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[str]:
    core = kubernetes.client.CoreV1Api(client)
    for pod in stack_pods(client, namespace):
        name = pod["metadata"]["name"]
        statuses = {status["name"]: status for status in pod["status"].get("containerStatuses") or ()}
        for container in _DEPENDENCIES:
            if container in statuses and statuses[container].get("containerID"):
                log = core.read_namespaced_pod_log(
                    name,
                    namespace,
                    container=container,
                    since_seconds=round(WINDOW_SECONDS),
                    tail_lines=_MAX_LINES,
                    _request_timeout=REQUEST_SECONDS,
                )
                if line := last_fatal(log):
                    yield f"pod {name}: {line}"


def last_fatal(log: str) -> str | None:
    """Return the last line of a log with a fatal error."""
    lines = (line for line in reversed(log.splitlines()) if _FATAL.search(line) and not _NORMAL.search(line))
    return next(lines, None)
