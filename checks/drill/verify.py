"""Injects each fault, and checks that it shows, that the queries of its runbook show it, and that it can be undone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from checks.chaos.cluster import LocalCluster
from checks.drill.signs import Signs, wait
from checks.faults.catalogue import faults
from checks.faults.journal import Journal
from checks.faults.model import Fault
from checks.faults.stored import injected, undo_remaining
from checks.harness.traffic import Traffic
from contracts import endpoints
from contracts.errors import UserError
from contracts.services import GATEWAY
from dashboards.expectations import Expectation, Row, expectations, find_query
from stack.clients.loki import LokiClient
from stack.settings import load_here

SHOWS_SECONDS: Final = 150.0
"""The time in which a fault must show, and its runbook must show it."""
GONE_SECONDS: Final = 180.0
"""The time in which it must not show any more, after it is undone."""
_LINES_SECONDS: Final = 60.0
_EVERY_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was seen of one fault; times in s, None for what did not come."""

    fault: str
    is_clear: bool
    """Whether neither its evidence nor its alerts showed before the injection."""
    injection: float
    shows: float | None
    """From the end of the injection until its evidence showed: its query had a result, or a trace was torn."""
    alert: float | None
    """Until one of its alerts was pending or firing."""
    has_alert: bool
    unmet: tuple[str, ...]
    """The expectations of its runbook that no result met."""
    undoing: float
    gone: float | None
    """From the undoing until it did not show any more."""

    @property
    def is_right(self) -> bool:
        """Whether all came as the catalogue says."""
        has_alerted = self.alert is not None or not self.has_alert
        return self.is_clear and self.shows is not None and has_alerted and self.gone is not None and not self.unmet


class Verifier:
    """Verifies faults on the local stack."""

    def __init__(self, cluster: LocalCluster, journal: Journal) -> None:
        self._cluster = cluster
        self._journal = journal
        self._signs = Signs(cluster)
        self._loki = LokiClient(f"http://{cluster.address(endpoints.LOKI)}:{endpoints.LOKI_PORT}")

    def verify(self, name: str, fault: Fault) -> Verification:
        """Injects a fault, waits until it shows, undoes it, and waits until it does not show any more."""
        is_clear = self._signs.wait_until_clear(fault)
        unmet = expectations(name)
        shows = alert = None
        started = time.monotonic()
        with injected(name, fault.plan, self._cluster, self._journal):
            injection, started = time.monotonic() - started, time.monotonic()
            while time.monotonic() < started + SHOWS_SECONDS and (
                shows is None or unmet or (not alert and fault.alerts)
            ):
                if shows is None and self._signs.shows(fault):
                    shows = time.monotonic() - started
                if alert is None and self._signs.alerts(fault):
                    alert = time.monotonic() - started
                unmet = [expectation for expectation in unmet if not self._is_met(expectation)]
                time.sleep(_EVERY_SECONDS)
            ended = time.monotonic()
        undoing = time.monotonic() - ended
        return Verification(
            fault=name,
            is_clear=is_clear,
            injection=injection,
            shows=shows,
            alert=alert,
            has_alert=bool(fault.alerts),
            unmet=tuple(f"{item.runbook}, {item.query}: {item.rule}" for item in unmet),
            undoing=undoing,
            gone=wait(lambda: not self._signs.shows(fault), GONE_SECONDS),
        )

    def _is_met(self, expectation: Expectation) -> bool:
        query = find_query(expectation.runbook, expectation.query)
        try:
            rows = self._rows(query.language, query.text)
        except httpx.HTTPError:
            return False
        return expectation.is_met(rows)

    def _rows(self, language: str, text: str) -> list[Row]:
        if language == "promql":
            return [(series.labels, series.value) for series in self._signs.prometheus.query(text)]
        now = time.time()
        lines, series = self._loki.query_range(text, start=now - _LINES_SECONDS, end=now)
        return [(line.labels, 1.0) for line in lines] + [(item.labels, item.value) for item in series]


def verify(console: Console, *, names: Sequence[str] = (), rate: float = 10, warm_up: float = 20) -> list[Verification]:
    """Verifies faults on the local stack, and prints a table.

    Args:
        console: where progress and the result are printed.
        names: of the faults, by default all.
        rate: requests per second meanwhile.
        warm_up: seconds of traffic before the first fault.

    Raises:
        UserError: a fault is unknown, or the stack cannot be reached or does not recover.
    """
    cluster = LocalCluster(load_here("local"))
    known = faults(cluster.store)
    if unknown := set(names) - known.keys():
        raise UserError(f"there is no fault {min(unknown)!r}; the faults are {', '.join(known)}")
    journal = Journal()
    gateway = f"http://{cluster.address(GATEWAY)}:{endpoints.SERVICE_PORT}"
    verifications = []
    with journal.locked():
        undo_remaining(cluster, journal)
        verifier = Verifier(cluster, journal)
        with Traffic(gateway, rate, keep=False, key=cluster.stack_key()):
            time.sleep(warm_up)
            for name in names or known:
                verifications.append(verifier.verify(name, known[name]))
                console.print(str(verifications[-1]), markup=False)
    show(verifications, console)
    return verifications


def show(verifications: Sequence[Verification], console: Console) -> None:
    """Prints a table."""
    table = Table(title="Faults")
    for column in (
        "fault",
        "clear before",
        "injected in",
        "shows after",
        "alert after",
        "undone in",
        "gone after",
        "runbook",
    ):
        table.add_column(column)
    for item in verifications:
        table.add_row(
            f"[{'green' if item.is_right else 'red'}]{item.fault}[/]",
            "yes" if item.is_clear else "no",
            _seconds(item.injection),
            _seconds(item.shows),
            _seconds(item.alert) if item.has_alert else "no alert",
            _seconds(item.undoing),
            _seconds(item.gone),
            "; ".join(item.unmet) or "as written",
        )
    console.print(table)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} s"
