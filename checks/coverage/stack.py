"""The ledger over a deployed stack."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import httpx

from checks.coverage.hands import in_pod
from checks.coverage.operations import Plan, World
from checks.coverage.run import LedgerError, Outcome, Run
from contracts import endpoints
from stack.clients.traces import TraceStoreClient
from stack.kubernetes.apply import connect
from stack.kubernetes.port_forward import forward
from stack.settings import Settings


def cover(
    settings: Settings,
    *,
    operations: int,
    malformed: int,
    seed: int,
    tick: Callable[[int, int, int], None] = lambda done, failed, in_flight: None,
) -> Outcome:
    """Runs that many operations, `malformed` of them, through the stack and compares the trace of each.

    Raises:
        LedgerError: the ledger cannot be kept, or the stack samples traces away.
        DeployError: the stack is not reached.
        DeployError: the cluster cannot be used.
    """
    if settings.tracing.sampling_rate < 1:
        raise LedgerError(f"the stack keeps {settings.tracing.sampling_rate:.0%} of new traces; all are needed here")
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    world = World(page_base=endpoints.url(endpoints.GATEWAY, endpoints.SERVICE_PORT), chance=random.Random(seed))
    with contextlib.ExitStack() as reached:
        gateway = reached.enter_context(forward(client, namespace, endpoints.GATEWAY, endpoints.SERVICE_PORT))
        query = reached.enter_context(forward(client, namespace, *endpoints.TRACE_QUERY[settings.traces.backend]))
        reader = reached.enter_context(httpx.Client())
        hands = reached.enter_context(in_pod(client, namespace))
        return Run(
            gateway=gateway,
            hands=hands,
            store=TraceStoreClient(settings.traces.backend, query, reader.get),
            plan=Plan(operations, malformed, world),
            world=world,
            tick=tick,
        ).run()
