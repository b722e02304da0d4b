"""Faults one after the other under traffic; after each, the stack comes back before the next begins."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from checks.chaos.cluster import LocalCluster
from checks.detect.faults import Fault
from checks.detect.traffic import Traffic
from contracts import endpoints
from stack.polling import poll_until

CALM_SECONDS: Final = 420.0
"""Within which a stack must be without the alerts that matter next: the slowest of them looks five minutes back."""
_WARM_UP_SECONDS: Final = 60.0
_GIVE_UP: Final = 3.0
"""Times the goal, after which a fault counts as not detected."""


@dataclass(frozen=True, kw_only=True)
class Detected:
    """What became of a fault."""

    fault: str
    goal: float
    alert: str | None
    """The first that told of it; None: none did."""
    seconds: float
    """From the injection to the alert."""
    also: tuple[str, ...]
    """What else fired by then."""

    @property
    def in_time(self) -> bool:
        return self.alert is not None and self.seconds <= self.goal


class Alerts:
    """Prometheus' alerts."""

    def __init__(self, prometheus: str) -> None:
        """prometheus: its base URL."""
        self._url = f"{prometheus}/api/v1/alerts"

    def now(self, *states: str, since: datetime | None = None) -> set[str]:
        """Names of the alerts in one of these states (`firing`, `pending`), the ever-firing one left out.

        since: only those whose cause began later.
        """
        found = httpx.get(self._url, timeout=5).raise_for_status().json()["data"]["alerts"]
        return {
            alert["labels"]["alertname"]
            for alert in found
            if alert["state"] in states
            and (since is None or datetime.fromisoformat(alert["activeAt"][:19] + "Z") > since)
        } - {"Watchdog"}


class Run:
    """Detection measured on the local stack."""

    def __init__(self, cluster: LocalCluster, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._say = say
        self._alerts = Alerts(f"http://{cluster.address(endpoints.PROMETHEUS)}:{endpoints.PROMETHEUS_PORT}")
        self._gateway = f"http://{cluster.address(endpoints.GATEWAY)}:{endpoints.SERVICE_PORT}"

    def faults(self, faults: Sequence[tuple[str, Fault]], rate: float) -> list[Detected]:
        """Injects each and measures.

        Raises:
            CheckFailure: an alert does not end, or the stack does not come back.
        """
        with Traffic(self._gateway, rate):
            self._warm()
            return [self._detect(name, fault) for name, fault in faults]

    def quiet(self, seconds: float, rate: float) -> set[str]:
        """Alerts that fired during normal traffic of that length, for a cause that was not there before it."""
        fired: set[str] = set()
        with Traffic(self._gateway, rate) as traffic:
            self._warm()
            # What happened before may still be told of: an error budget remembers for hours.
            since = datetime.now(UTC)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                new = self._alerts.now("firing", since=since) - fired
                for name in sorted(new):
                    self._say(f"false alarm: {name}, {end - time.monotonic():.0f} s before the end")
                fired |= new
                time.sleep(min(5.0, max(0.0, end - time.monotonic())))
        self._say(f"answers: {dict(traffic.answers)}")
        return fired

    def _warm(self) -> None:
        """A minute of traffic: alerts compare with what was before."""
        time.sleep(_WARM_UP_SECONDS)

    def _calm(self, alerts: frozenset[str]) -> None:
        """Waits until none of these alerts is firing or about to."""

        poll_until(
            f"{', '.join(sorted(alerts))} to end",
            lambda: not self._alerts.now("firing", "pending") & alerts,
            seconds=CALM_SECONDS,
            every=1,
            look_at=f"the alerts of Prometheus: {self._alerts.now('firing', 'pending')}",
        )

    def _detect(self, name: str, fault: Fault) -> Detected:
        self._calm(fault.alerts)
        before = self._alerts.now("firing")
        began = time.monotonic()
        with fault.inject(self._cluster):
            first, fired = None, before
            while first is None and time.monotonic() < began + _GIVE_UP * fault.seconds:
                fired = self._alerts.now("firing")
                first = min(fired & fault.alerts, default=None)
                if first is None:
                    time.sleep(0.5)
            seconds = time.monotonic() - began
        detected = Detected(
            fault=name,
            goal=fault.seconds,
            alert=first,
            seconds=seconds,
            also=tuple(sorted(fired - before - {first or ""})),
        )
        self._say(f"{name}: {first or 'nothing'} after {seconds:.0f} s (goal {fault.seconds:.0f} s)")
        return detected
