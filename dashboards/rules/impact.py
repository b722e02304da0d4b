"""What each alert says about the users: which operation fails, and how many requests and tasks are affected.

The annotations run their queries when Prometheus evaluates an alert that is pending or firing. The counts are recording
rules, so that an annotation costs a look-up.
"""

import re
from collections.abc import Iterator
from typing import Final

from contracts import metrics, service_metrics
from contracts.metrics import JOB, SERVICE, SPAN_NAME, STATUS, TRACK
from contracts.services import GATEWAY
from contracts.tasks import TaskStatus
from dashboards.queries import (
    ENTRY_SPAN,
    FAILED_SPAN,
    OF_USERS,
    SERVER_ERROR,
    SERVICE_JOBS,
    USER_ROUTES,
    equals,
    exact_increases,
    series,
)

REQUESTS: Final = "users_requests:grown5m"
"""Requests of users within 5 minutes, as the gateway counts them; without it, what enters the users' own services."""
FAILED_REQUESTS: Final = "users_requests_failed:grown5m"
TASKS: Final = "users_tasks:grown5m"
"""Tasks of users that ended within 5 minutes."""
LATE_TASKS: Final = "users_tasks_late:grown5m"
FAILED_TASKS: Final = "users_tasks_failed:grown5m"
OPEN_TASKS: Final = "users_tasks_open:max"

_WINDOW: Final = "5m"
_GATEWAY: Final = equals(JOB, GATEWAY)
_FAILED_OPERATIONS: Final = series(metrics.SPAN_CALLS, ENTRY_SPAN, FAILED_SPAN)
_WORST: Final = f"topk(1, sum by ({SERVICE}, {SPAN_NAME}) (increase({_FAILED_OPERATIONS}[{_WINDOW}])) > 0)"
_QUERY: Final = re.compile(r"query `([^`]*)`")


def records(tasks_in_time: str) -> Iterator[tuple[str, str]]:
    """Return name and query of the recording rules.

    Args:
        tasks_in_time: selector of the counter of tasks that end within the objective.
    """
    requests = series(service_metrics.HTTP_REQUESTS, _GATEWAY, USER_ROUTES, OF_USERS)
    failed_requests = series(service_metrics.HTTP_REQUESTS, _GATEWAY, USER_ROUTES, OF_USERS, SERVER_ERROR)
    yield from _requests(requests, failed_requests)
    ended = f"{service_metrics.TASK_DURATION}_count"
    failed_tasks = series(ended, OF_USERS, equals(STATUS, service_metrics.OUTCOME_FAILED))
    yield TASKS, _grown(series(ended, OF_USERS))
    yield LATE_TASKS, f"clamp_min({TASKS} - {_grown(tasks_in_time)}, 0) or {TASKS}"
    yield FAILED_TASKS, f"{_grown(failed_tasks)} or 0 * {TASKS}"
    yield OPEN_TASKS, f"max({series(service_metrics.TASKS, equals(STATUS, TaskStatus.NEW))})"


def records_of_spans() -> Iterator[tuple[str, str]]:
    """Return name and query of the recording rules if all services are the users' own: what enters them counts."""
    yield from _requests(series(metrics.SPAN_CALLS, ENTRY_SPAN), _FAILED_OPERATIONS)


def _requests(requests: str, failed: str) -> Iterator[tuple[str, str]]:
    yield REQUESTS, _grown(requests)
    yield FAILED_REQUESTS, f"{_grown(failed)} or 0 * {REQUESTS}"


def _grown(selector: str) -> str:
    return f"sum({exact_increases(selector, _WINDOW)})"


def _value(metric: str) -> str:
    return f'{{{{ with query `{metric}` }}}}{{{{ . | first | value | printf "%.0f" }}}}{{{{ else }}}}0{{{{ end }}}}'


USERS: Final = (
    f"{{{{ with query `{REQUESTS} > 0` }}}}{_value(FAILED_REQUESTS)} of {_value(REQUESTS)} requests failed"
    f" ({{{{ with query `{FAILED_REQUESTS} / {REQUESTS}` }}}}{{{{ . | first | value | humanizePercentage }}}}"
    f"{{{{ end }}}}){{{{ else with query `{REQUESTS}` }}}}No user sent a request"
    f"{{{{ else }}}}The requests have no metrics, so the number of failed ones is unknown{{{{ end }}}}."
    f"{{{{ with query `{TASKS}` }}}}"
    f" {_value(TASKS)} tasks ended: {_value(LATE_TASKS)} late, {_value(FAILED_TASKS)} with an error."
    f" {_value(OPEN_TASKS)} tasks are open."
    "{{ end }}"
)
"""Template of the annotation `users`: requests and tasks of the last 5 minutes."""

OPERATION: Final = (
    "{{ if $labels.span_name }}{{ $labels.service_name }}: {{ $labels.span_name }}"
    "{{ else if $labels.route }}{{ $labels.job }}: {{ $labels.route }}"
    "{{ else if $labels.source }}{{ $labels.source }} → {{ $labels.target }}"
    "{{ else if $labels.dependency }}{{ $labels.job }} → {{ $labels.dependency }}"
    "{{ else if $labels.topic }}messages of {{ $labels.topic }}"
    f"{{{{ else }}}}{{{{ with query `{_WORST}` }}}}{{{{ with first . }}}}"
    f"{{{{ .Labels.{SERVICE} }}}}: {{{{ .Labels.{SPAN_NAME} }}}}"
    " ({{ .Value | humanize }} failures in 5 minutes){{ end }}"
    "{{ else }}no operation fails{{ end }}{{ end }}"
)
"""Template of the annotation `operation`: that of the alert's labels, or the one that fails most often."""


_NEWEST: Final = f"topk(1, max by ({JOB}) ({series(metrics.PROCESS_START, SERVICE_JOBS)}))"
_CANARIES: Final = f"count by ({JOB}) ({series(metrics.UP, SERVICE_JOBS, equals(TRACK, 'canary'))})"
CHANGED: Final = (
    f"{{{{ with query `{_NEWEST}` }}}}{{{{ with first . }}}}{{{{ .Labels.{JOB} }}}} started at"
    " {{ .Value | humanizeTimestamp }}{{ end }}{{ else }}no service has metrics{{ end }}"
    f"{{{{ with query `{_CANARIES}` }}}}; a rollout runs: canary of"
    f"{{{{ range $number, $canary := . }}}}{{{{ if $number }}}},{{{{ end }}}} {{{{ .Labels.{JOB} }}}}"
    "{{ end }}{{ end }}"
)
"""Template of the annotation `changed`: the newest process of the services, since a deployment starts new ones, and the
rollout that runs."""

_MAX_ANSWERS: Final = 3


def answer(query: str) -> str:
    """Return the template of the annotation `answer`: the first results of a query.

    Args:
        query: the first query of the alert's runbook.
    """
    return (
        f"{{{{ with query `{query}` }}}}{{{{ range $number, $sample := . }}}}{{{{ if lt $number {_MAX_ANSWERS} }}}}"
        "{{ if $number }}; {{ end }}{{ range $name, $value := $sample.Labels }}"
        '{{ if ne $name "__name__" }}{{ $name }}={{ $value }} {{ end }}{{ end }}{{ $sample.Value | humanize }}'
        "{{ end }}{{ end }}{{ else }}no result{{ end }}"
    )


def annotation_queries() -> Iterator[str]:
    """Return the queries in the annotations."""
    for template in (USERS, OPERATION, CHANGED):
        yield from _QUERY.findall(template)
