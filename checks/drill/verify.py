"""Injects each fault, and checks that it shows, that the queries of its runbook show it, and that it can be undone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from checks.chaos.cluster import LocalCluster
from checks.drill.torn import TornTraces
from checks.faults.catalogue import faults
from checks.faults.journal import Journal
from checks.faults.model import Fault
from checks.faults.stored import injected, undo_remaining
from checks.harness.traffic import Traffic
from contracts import endpoints
from contracts.errors import UserError
from contracts.services import GATEWAY
from dashboards.expectations import Expectation, Row, expectations, queries
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.polling import CheckFailure
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
        return self.shows is not None and self.gone is not None and not self.unmet


class Verifier:
    """Verifies faults on the local stack."""

    def __init__(self, cluster: LocalCluster, journal: Journal) -> None:
        self._cluster = cluster
        self._journal = journal
        backend = cluster.settings.traces.backend
        self._prometheus = PrometheusClient(self._url(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT))
        store = TraceStoreClient(backend, self._url(*endpoints.TRACE_QUERY[backend]))
        self._traces = TornTraces(self._url(GATEWAY, endpoints.SERVICE_PORT), store)
        self._loki = LokiClient(self._url(endpoints.LOKI, endpoints.LOKI_PORT))

    def _url(self, service: str, port: int) -> str:
        return f"http://{self._cluster.address(service)}:{port}"

    def verify(self, name: str, fault: Fault) -> Verification:
        """Injects a fault, waits until it shows, undoes it, and waits until it does not show any more."""
        _wait(lambda: not self._shows(fault), GONE_SECONDS)
        known = self._alerts(fault)
        unmet = expectations(name)
        shows = alert = None
        started = time.monotonic()
        with injected(name, fault.plan, self._cluster, self._journal):
            injection, started = time.monotonic() - started, time.monotonic()
            while time.monotonic() < started + SHOWS_SECONDS and (
                shows is None or unmet or (not alert and fault.alerts)
            ):
                if shows is None and self._shows(fault):
                    shows = time.monotonic() - started
                if alert is None and self._alerts(fault) - known:
                    alert = time.monotonic() - started
                unmet = [expectation for expectation in unmet if not self._is_met(expectation)]
                time.sleep(_EVERY_SECONDS)
            ended = time.monotonic()
        undoing = time.monotonic() - ended
        return Verification(
            fault=name,
            injection=injection,
            shows=shows,
            alert=alert,
            has_alert=bool(fault.alerts),
            unmet=tuple(f"{item.runbook} {item.number}: {item.rule}" for item in unmet),
            undoing=undoing,
            gone=_wait(lambda: not self._shows(fault), GONE_SECONDS),
        )

    def _shows(self, fault: Fault) -> bool:
        try:
            if fault.evidence.query:
                return bool(self._prometheus.query(fault.evidence.query))
            return self._traces.is_torn()
        except (httpx.HTTPError, CheckFailure):
            return False

    def _alerts(self, fault: Fault) -> set[str]:
        try:
            return {alert["labels"]["alertname"] for alert in self._prometheus.alerts()} & fault.alerts
        except httpx.HTTPError:
            return set()

    def _is_met(self, expectation: Expectation) -> bool:
        query = queries(expectation.runbook)[expectation.number - 1]
        try:
            rows = self._rows(query.language, query.text)
        except httpx.HTTPError:
            return False
        return expectation.is_met(rows)

    def _rows(self, language: str, text: str) -> list[Row]:
        if language == "promql":
            return [(series.labels, series.value) for series in self._prometheus.query(text)]
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
        with Traffic(gateway, rate, keep=False):
            time.sleep(warm_up)
            for name in names or known:
                verifications.append(verifier.verify(name, known[name]))
                console.print(str(verifications[-1]), markup=False)
    show(verifications, console)
    return verifications


def show(verifications: Sequence[Verification], console: Console) -> None:
    """Prints a table."""
    table = Table(title="Faults")
    for column in ("fault", "injected in", "shows after", "alert after", "undone in", "gone after", "runbook"):
        table.add_column(column)
    for item in verifications:
        table.add_row(
            f"[{'green' if item.is_right else 'red'}]{item.fault}[/]",
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


def _wait(condition: Callable[[], bool], seconds: float) -> float | None:
    """Returns after how long a condition holds; None if it does not within the time."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() > started + seconds:
            return None
        time.sleep(_EVERY_SECONDS)
    return time.monotonic() - started
