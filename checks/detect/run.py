"""Injects groups of faults under traffic; each group starts when the stack has recovered from the previous one."""

import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from checks.chaos.cluster import LocalCluster
from checks.detect.foreign import ForeignSites, mixed_pages
from checks.faults.journal import Journal
from checks.faults.model import Fault
from checks.faults.stored import injected, undo_remaining
from checks.harness.traffic import Traffic
from contracts import endpoints
from contracts.metrics import ALERTS, OUTCOME
from contracts.service_metrics import CRAWLED_PAGES
from contracts.services import GATEWAY
from stack.clients.prometheus import PrometheusClient
from stack.polling import CheckFailure, poll_until

CALM_SECONDS: Final = 420.0
"""The time in which the alerts of the previous fault must resolve: the slowest of them has a window of five minutes."""
WARM_UP_SECONDS: Final = 60.0
"""Traffic before the first fault: the window of most alerts, so that a fault starts as a small share of it."""
_GIVE_UP: Final = 3.0
"""A fault counts as not detected after this many times its goal."""
_PAUSE_SECONDS: Final = 0.5
_WATCHDOG: Final = "Watchdog"
MOST_FLAPS: Final = 2
"""How often an alert may become pending, in a time without faults."""
_STEP: Final = 5
_SEED: Final = 16


def began_pending(seconds: int, step: int) -> str:
    """Return the PromQL that counts how often each alert became pending.

    Args:
        seconds: the time until now.
        step: seconds between two evaluations of the rules.
    """
    pending = f'{ALERTS}{{alertstate="pending"}}'
    began = f"count by (alertname) ({pending} unless {pending} offset {step}s)"
    return f"sum_over_time({began}[{seconds}s:{step}s])"


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How a fault was detected."""

    fault: str
    goal: float
    alert: str | None
    """The first alert that reported the fault; None if none did."""
    seconds: float
    """From the injection to the alert."""
    other_alerts: tuple[str, ...]
    """Other alerts that fired by then."""

    @property
    def is_in_time(self) -> bool:
        """Whether the alert fired within the goal."""
        return self.alert is not None and self.seconds <= self.goal


class Alerts:
    """The alerts of Prometheus, without the dead man's switch, which always fires."""

    def __init__(self, prometheus: PrometheusClient) -> None:
        self._prometheus = prometheus

    def names(self, *states: str, since: datetime | None = None) -> set[str]:
        """Names of the alerts in one of the states (`firing`, `pending`) that became active after `since`."""
        return {
            alert["labels"]["alertname"]
            for alert in self._prometheus.alerts()
            if alert["state"] in states
            and (since is None or datetime.fromisoformat(alert["activeAt"][:19] + "Z") > since)
        } - {_WATCHDOG}


class Run:
    """Measures detection on the local stack."""

    def __init__(self, cluster: LocalCluster, on_progress: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._on_progress = on_progress
        self._journal = Journal()
        prometheus = f"http://{cluster.address(endpoints.PROMETHEUS)}:{endpoints.PROMETHEUS_PORT}"
        self._prometheus = PrometheusClient(prometheus)
        self._alerts = Alerts(self._prometheus)
        self._gateway = f"http://{cluster.address(GATEWAY)}:{endpoints.SERVICE_PORT}"

    def faults(
        self, groups: Sequence[Mapping[str, Fault]], rate: float, *, warm_up: float = WARM_UP_SECONDS
    ) -> list[Detection]:
        """Injects faults and measures the time until the alert of each.

        Args:
            groups: faults by name. Those of a group are injected together, so none may hide another.
            rate: requests per second.
            warm_up: seconds of traffic before the first fault.

        Raises:
            CheckFailure: an alert does not resolve, or the stack does not recover.
        """
        with self._journal.locked(), Traffic(self._gateway, rate, key=self._cluster.stack_key()):
            for name in undo_remaining(self._cluster, self._journal):
                self._on_progress(f"undone: {name}, which an earlier run left in the cluster")
            time.sleep(warm_up)
            return [detection for group in groups for detection in self._detect(group)]

    def without_faults(self, seconds: float, rate: float, *, warm_up: float = WARM_UP_SECONDS) -> set[str]:
        """Runs normal traffic, of which some pages fail.

        Returns:
            The names of the alerts that became active and fired, or that were pending again and again.
        """
        fired: set[str] = set()
        with ForeignSites() as sites:
            choose = mixed_pages(sites.url, random.Random(_SEED))
            with Traffic(self._gateway, rate, choose=choose, key=self._cluster.stack_key()) as traffic:
                time.sleep(warm_up)
                # An alert of an earlier problem may still fire: an error budget has a window of hours.
                since = datetime.now(UTC)
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    new = self._alerts.names("firing", since=since) - fired
                    for name in sorted(new):
                        self._on_progress(f"false alarm: {name}, {end - time.monotonic():.0f} s before the end")
                    fired |= new
                    time.sleep(min(5.0, max(0.0, end - time.monotonic())))
                pages, flapping = self._pages(seconds), self._flapping(seconds)
        self._on_progress(f"answers: {dict(traffic.answers)}; pages: {pages}")
        for name, times in flapping.items():
            self._on_progress(f"flapping: {name} was pending {times} times")
        return fired | flapping.keys()

    def _pages(self, seconds: float) -> dict[str, int]:
        """Number of pages by outcome."""
        query = f"sum by ({OUTCOME}) (increase({CRAWLED_PAGES}[{seconds:.0f}s]))"
        return {each.labels[OUTCOME]: round(each.value) for each in self._prometheus.query(query, time.time())}

    def _flapping(self, seconds: float) -> dict[str, int]:
        """Alerts that became pending more often than `MOST_FLAPS`, and how often."""
        result = self._prometheus.query(began_pending(round(seconds), _STEP), time.time())
        return {each.labels["alertname"]: round(each.value) for each in result if each.value > MOST_FLAPS}

    def _wait_until_calm(self, alerts: frozenset[str]) -> None:
        """Waits until none of these alerts is firing or pending."""

        def is_calm() -> bool:
            if active := self._alerts.names("firing", "pending") & alerts:
                raise CheckFailure(f"firing or pending: {', '.join(sorted(active))}")
            return True

        what = f"{', '.join(sorted(alerts))} to resolve"
        poll_until(what, is_calm, seconds=CALM_SECONDS, every=1, look_at="the alerts of Prometheus")

    def _detect(self, faults: Mapping[str, Fault]) -> list[Detection]:
        self._wait_until_calm(frozenset().union(*(fault.alerts for fault in faults.values())))
        earlier = self._alerts.names("firing")
        started: dict[str, float] = {}
        detections: dict[str, Detection] = {}
        with contextlib.ExitStack() as active:
            for name, fault in faults.items():
                active.enter_context(injected(name, fault.plan, self._cluster, self._journal))
                started[name] = time.monotonic()  # the build of a faulty version takes a minute
            while pending := faults.keys() - detections.keys():
                firing = self._alerts.names("firing")
                for name in pending:
                    fault, seconds = faults[name], time.monotonic() - started[name]
                    alert = min(firing & fault.alerts, default=None)
                    if alert is None and seconds < _GIVE_UP * fault.seconds:
                        continue
                    self._on_progress(
                        f"{name}: {alert or 'no alert'} after {seconds:.0f} s (goal {fault.seconds:.0f} s)"
                    )
                    detections[name] = Detection(
                        fault=name,
                        goal=fault.seconds,
                        alert=alert,
                        seconds=seconds,
                        other_alerts=tuple(sorted(firing - earlier - {alert or ""})),
                    )
                time.sleep(_PAUSE_SECONDS)
        return [detections[name] for name in faults]
