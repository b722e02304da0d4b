"""`make security`: attacks the services of this machine, and prints a table of what the attacker got."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.security import access
from checks.security.cardinality import invented_names, invented_spans
from checks.security.clients import oversized_clients, slow_clients
from checks.security.cost import Cost, measure
from checks.security.fuzz import fuzz_services
from checks.security.fuzz_collector import fuzz_collector
from checks.security.issuer import Issuer, running_issuer
from checks.security.outcome import Outcome
from checks.security.planted import planted_secrets
from checks.security.reported import planted_reports
from checks.security.services import Services, running_services
from checks.security.texts import planted_texts

Attack = Callable[[Services, Issuer, int, int], Sequence[Outcome]]
ATTACKS: Final[dict[str, Attack]] = {
    "tokens": access.forged_tokens,
    "keys": lambda services, _issuer, count, seed: [access.guessed_keys(services, count, seed)],
    "tasks": lambda services, issuer, count, seed: [access.foreign_tasks(services, issuer, count // 10, seed)],
    "direct": lambda services, _issuer, count, seed: [access.direct_requests(services, count // 10, seed)],
    "planted": lambda services, _issuer, count, seed: [
        planted_secrets(services, count, seed),
        planted_texts(10 * count, seed),
        planted_reports(10 * count, seed),
    ],
    "fuzz": lambda services, _issuer, count, seed: [
        *fuzz_services(services, count, seed),
        fuzz_collector(count * 3 // 10, seed),
    ],
    "cardinality": lambda services, issuer, count, seed: [
        invented_names(services, issuer, count // 10, seed),
        invented_spans(2 * count, seed),
    ],
    "clients": lambda services, _issuer, count, seed: [
        slow_clients(services, min(count, 400)),
        oversized_clients(services, count // 100, seed),
    ],
    "leaks": lambda services, issuer, _count, _seed: [access.leaked_credentials(services, issuer)],
}
"""Groups of attacks by name. `count` is the number of tokens and keys; slower attacks try a tenth."""


def run(console: Console, *, only: Sequence[str], count: int, seed: int) -> bool:
    """Attack gateway and task-manager; return whether every attack was harmless.

    Args:
        console: gets the table.
        only: names of groups; empty: all.
        count: attempts of a group.
        seed: decides the attempts.
    """
    with running_issuer() as issuer, running_services(issuer) as services:
        costs = [] if only else measure(issuer)
        groups = {name: list(_timed(name, services, issuer, count, seed)) for name in only or ATTACKS}
    console.print(_table(groups, count, seed))
    if costs:
        console.print(_cost_table(costs))
    return all(outcome.is_harmless for outcomes in groups.values() for outcome in outcomes)


def _timed(name: str, services: Services, issuer: Issuer, count: int, seed: int) -> Iterator[Outcome]:
    started = time.monotonic()
    outcomes = ATTACKS[name](services, issuer, count, seed)
    seconds = time.monotonic() - started
    for outcome in outcomes:
        outcome.notes = "; ".join(filter(None, (outcome.notes, f"{seconds:.0f} s for `{name}`")))
        yield outcome


def _table(groups: dict[str, list[Outcome]], count: int, seed: int) -> Table:
    table = Table("attack", "attempts", "successful", "outcome", "measured", "command")
    for name, outcomes in groups.items():
        for outcome in outcomes:
            result = "; ".join(outcome.successes[:3]) or "none"
            command = f"./wct check security --only {name} --count {count} --seed {seed}"
            table.add_row(
                outcome.attack, f"{outcome.count:,}", f"{len(outcome.successes):,}", result, outcome.notes, command
            )
    return table


def _cost_table(costs: Sequence[Cost]) -> Table:
    table = Table("POST /api/tasks at the gateway", "CPU, µs", "ratio")
    for cost in costs:
        table.add_row(cost.name, f"{cost.microseconds:.0f}", f"{cost.ratio:.2f}")
    return table
