"""Runs the coverage check on a deployed stack."""

import contextlib
from collections.abc import Callable
from random import Random

from checks.coverage.agent_client import run_in_pod
from checks.coverage.ledger import LedgerError, Outcome
from checks.coverage.operations import RunState
from checks.coverage.plan import Plan
from checks.coverage.run import Run
from contracts import endpoints
from contracts.access import STACK_CALLER, owner_of_key
from contracts.services import GATEWAY
from stack.kubernetes.client import connect
from stack.settings import Settings
from stack.stores import Stores


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
    stores = Stores(settings=settings, client=connect(settings.cluster))
    state = RunState(
        page_base=endpoints.url(GATEWAY, endpoints.SERVICE_PORT),
        rng=Random(seed),
        owner=owner_of_key(STACK_CALLER) if settings.has_access_control else None,
    )
    with contextlib.ExitStack() as connections:
        return Run(
            gateway=connections.enter_context(stores.gateway()),
            key=stores.stack_key(),
            agent=connections.enter_context(run_in_pod(stores.client, settings.cluster.namespace)),
            store=connections.enter_context(stores.traces()),
            plan=Plan(operations, malformed, state),
            state=state,
            on_progress=on_progress,
        ).run()
