"""`make forget EMAIL=… STACK=…`: deletes what a stack holds about one person."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from contracts import span_attributes
from contracts.section import duration_hours
from contracts.services import TASK_MANAGER
from stack.errors import DeployError
from stack.forget.pod import forget_in_pod
from stack.forget.report import lines
from stack.kubernetes.client import connect
from stack.probe.search import attribute_query
from stack.settings import Settings, load_here
from stack.stores import Stores, unqueried_stores

_MOST_TRACES: Final = 1000


def forget(stack: str, address: str, console: Console) -> bool:
    """Deletes what can be deleted, and prints what remains until when; returns whether no task remains.

    Raises:
        DeployError: the stack cannot be reached, or has no services.
    """
    settings = load_here(stack)
    if not settings.services.enabled:
        raise DeployError("the stack has no services, and so no tasks: services.enabled is off")
    stores = Stores(settings=settings, client=connect(settings.cluster))
    answer = forget_in_pod(stores.client, settings.cluster.namespace, address)
    retention = timedelta(hours=duration_hours(settings.retention))
    traces = _traces(stores, settings, answer["hash"], retention)
    table = Table("place", "deleted", "remains", "until")
    for line in lines(
        answer,
        traces=traces,
        unqueried=unqueried_stores(settings),
        at_least=traces == _MOST_TRACES,
        retention=retention,
        now=datetime.now(UTC),
    ):
        table.add_row(line.place, line.deleted, line.remains, line.until)
    console.print(table)
    return not answer["tasks_not_ended"]


def _traces(stores: Stores, settings: Settings, user_hash: str, retention: timedelta) -> int | None:
    """Counts the stored traces with the keyed hash, up to a limit; None if the store does not answer, or cannot."""
    query = attribute_query(settings.traces.backend, TASK_MANAGER, span_attributes.TASK_USER_HASH, user_hash)
    now = time.time()
    try:
        with stores.traces() as store:
            return len(store.search({**query, "limit": _MOST_TRACES}, start=now - retention.total_seconds(), end=now))
    except (httpx.HTTPError, DeployError):
        return None
