"""Runs the coverage check on a deployed stack."""

import contextlib
from collections.abc import Callable
from random import Random

import httpx

from checks.coverage.agent_client import run_in_pod
from checks.coverage.ledger import LedgerError, Outcome
from checks.coverage.operations import RunState
from checks.coverage.plan import Plan
from checks.coverage.run import Run
from contracts import endpoints
from contracts.services import GATEWAY
from stack.clients.traces import TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.port_forward import forward
from stack.settings import Settings


def cover(
    settings: Settings,
    *,
    operations: int,
    malformed: int,
    seed: int,
    on_progress: Callable[[int, int, int], None] = lambda done, failed, in_flight: None,
) -> Outcome:
    """Runs operations on a stack and compares the trace of each with the expected one.

    Args:
        settings: the settings of the stack.
        operations: how many.
        malformed: how many of them are malformed.
        seed: decides the order and the kinds of the operations.
        on_progress: called now and then with the numbers of operations done, failed and in flight.

    Raises:
        LedgerError: the ledger cannot be kept, or the stack does not keep all traces.
        DeployError: the cluster or the stack cannot be reached.
    """
    if settings.tracing.sampling_rate < 1:
        rate = settings.tracing.sampling_rate
        raise LedgerError(f"the stack samples {rate:.0%} of the new traces; this check needs all of them")
    namespace, backend = settings.cluster.namespace, settings.traces.backend
    client = connect(settings.cluster)
    state = RunState(page_base=endpoints.url(GATEWAY, endpoints.SERVICE_PORT), rng=Random(seed))
    with contextlib.ExitStack() as connections:
        gateway = connections.enter_context(forward(client, namespace, GATEWAY, endpoints.SERVICE_PORT))
        store = connections.enter_context(forward(client, namespace, *endpoints.TRACE_QUERY[backend]))
        reader = connections.enter_context(httpx.Client())
        return Run(
            gateway=gateway,
            agent=connections.enter_context(run_in_pod(client, namespace)),
            store=TraceStoreClient(backend, store, reader.get),
            plan=Plan(operations, malformed, state),
            state=state,
            on_progress=on_progress,
        ).run()
