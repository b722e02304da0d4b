"""Cases, and the faults of which they are made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.support.alert_cases.metrics import (
    CRAWLER,
    FAULT,
    MANAGER,
    REQUESTS,
    SPANS,
    Change,
    change,
    constant,
    counted,
    find,
    gone,
    histogram,
    replace,
    since,
    then,
)
from tests.support.alert_cases.stacks import Stack
from tests.support.promtool import Value

ALWAYS: Final = frozenset({"Watchdog"})
"""The alerts that fire in every case."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Faults that begin at `FAULT`, and the alerts that must fire so many seconds later."""

    changes: tuple[Change, ...] = ()
    alerts: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Seconds since the fault → the alerts that fire."""
    stack: Stack = "plain"
    begins: int = 0
    """The first second that is simulated for the queries of a runbook: some look back at the day before."""

    def fires(self, alert: str) -> int | None:
        """Return after how many seconds an alert fires; None if it does not."""
        return next((seconds for seconds, alerts in self.alerts.items() if alert in alerts | ALWAYS), None)


def case(*changes: Change, stack: Stack = "plain", **fires: str) -> Case:
    """Return a case; `after_45="A B"`: 45 s after the fault A and B fire, and no others."""
    alerts = {int(key.removeprefix("after_")): frozenset(names.split()) for key, names in fires.items()}
    return Case(changes=changes, alerts=alerts, stack=stack)


def stopped(job: str) -> Change:
    """Return the fault: the pods of a job exist but do not answer."""

    def apply(series: dict[str, Value]) -> None:
        for name in find(series, f'job="{job}"'):
            if name.startswith("up{"):
                series[name] = then(series[name], constant(0))
            elif "produced" not in name or f'job="{job}"' in name:
                series[name] = gone(series[name])

    return apply


def failing_spans(selector: tuple[str, ...], share: float, rate: float = REQUESTS) -> Change:
    """Return the fault: a share of the spans fails."""

    def apply(series: dict[str, Value]) -> None:
        (name,) = find(series, "calls_total", *selector)
        series[name] = counted(rate, rate * (1 - share))
        failed = name.replace("STATUS_CODE_UNSET", "STATUS_CODE_ERROR")
        series[failed] = then(lambda _: None, since(rate * share))

    return apply


def slow(
    name: str,
    labels: str,
    seconds: float,
    unit: str = "seconds",
    rate: float = REQUESTS,
    lasts: float = math.inf,
) -> Change:
    """Return the fault: all events of a histogram take this long, for so many seconds."""

    def slower(healthy_value: Value, slow_value: Value) -> Value:
        """Return a counter that continues at the pace of `slow_value`, and afterwards at its own."""

        def grown(value: Value, since: float, until: float) -> float:
            return (value(until) or 0.0) - (value(since) or 0.0)

        def value(now: float) -> float:
            end = min(now, FAULT + lasts)
            return grown(healthy_value, 0, FAULT) + grown(slow_value, FAULT, end) + grown(healthy_value, end, now)

        return then(healthy_value, value)

    def apply(series: dict[str, Value]) -> None:
        for part, value in histogram(name, labels, rate, seconds, unit).items():
            series[part] = slower(series[part], value)

    return apply


STATUS: Final = f'{MANAGER},topic="task-status"'
CRAWL: Final = f'{CRAWLER},topic="requests-web-crawl"'
REQUEST: Final = 'job="gateway",instance="gateway-0",method="POST",route="/api/tasks"'
STATEMENT: Final = (
    'service_name="task-manager",span_kind="SPAN_KIND_CLIENT",span_name="INSERT web_crawl_tasks",'
    'db_system_name="postgresql",status_code="STATUS_CODE_UNSET"'
)
SENDING: Final = (
    'service_name="gateway",span_kind="SPAN_KIND_PRODUCER",span_name="send task-status",status_code="STATUS_CODE_UNSET"'
)
ENTRY: Final = (
    'service_name="gateway",span_kind="SPAN_KIND_SERVER",span_name="POST /api/tasks",status_code="STATUS_CODE_UNSET"'
)
ENDED: Final = "tracing_items_ended_total"
EXPORTED: Final = "tracing_items_exported_total"
ACCEPTED: Final = 'receiver_accepted_spans_total{job="collector"'
SENT: Final = 'exporter_sent_spans_total{job="collector"'
STORED: Final = 'exporter_sent_spans_total{job="trace-store"'
WAY: Final = (EXPORTED, ACCEPTED, SENT, STORED)
QUEUE: Final = ('queue_size{job="collector"', 'data_type="traces"')
READ: Final = 'receiver_accepted_spans_total{job="sampler"'


def lost_before(stage: str) -> tuple[Change, ...]:
    """Return the fault: a tenth of the spans is lost before this stage."""

    def less(part: str) -> Change:
        rate = SPANS / 3 if part == EXPORTED else SPANS  # one of three services
        return change(part, lambda _: counted(rate, rate * 0.9))

    return tuple(less(part) for part in WAY[WAY.index(stage) :])


def start_time(every: float) -> Value:
    """Return the start time of a process that restarts every so many seconds."""
    return lambda seconds: FAULT + every * ((seconds - FAULT) // every)


def for_seconds(seconds: float, rate: float) -> Value:
    """Return a counter that begins with the fault and stops so many seconds later."""
    return lambda now: None if now <= FAULT else min(now - FAULT, seconds) * rate


def unsent(share: float) -> tuple[Change, ...]:
    """Return the fault: the store does not accept a share of the spans, so they wait."""
    return (
        change(SENT, lambda _: counted(SPANS, SPANS * (1 - share))),
        change(STORED, lambda _: counted(SPANS, SPANS * (1 - share))),
        replace(QUEUE, lambda seconds: (seconds - FAULT) * SPANS * share),
    )
