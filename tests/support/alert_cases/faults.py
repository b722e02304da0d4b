"""Cases, and the faults of which they are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.support.alert_cases.metrics import (
    FAULT,
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
from tests.support.promtool import Value


@dataclass(frozen=True, kw_only=True)
class Case:
    """Faults that begin at `FAULT`, and the alerts that must fire so many seconds later."""

    changes: tuple[Change, ...] = ()
    alerts: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Seconds since the fault → the alerts that fire."""
    sampled: bool = False


def case(*changes: Change, sampled: bool = False, **fires: str) -> Case:
    """Return a case; `after_45="A B"`: 45 s after the fault A and B fire, and no others."""
    alerts = {int(key.removeprefix("after_")): frozenset(names.split()) for key, names in fires.items()}
    return Case(changes=changes, alerts=alerts, sampled=sampled)


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


def slow(name: str, labels: str, seconds: float, unit: str = "seconds", rate: float = REQUESTS) -> Change:
    """Return the fault: all events of a histogram take this long."""

    def slower(healthy_value: Value, slow_value: Value) -> Value:
        """Return a counter that continues at the pace of `slow_value`."""
        offset = (healthy_value(FAULT) or 0.0) - (slow_value(FAULT) or 0.0)
        return then(healthy_value, lambda now: (slow_value(now) or 0.0) + offset)

    def apply(series: dict[str, Value]) -> None:
        for part, value in histogram(name, labels, rate, seconds, unit).items():
            series[part] = slower(series[part], value)

    return apply


STATUS: Final = 'job="task-manager",instance="task-manager-0",topic="task-status"'
REQUEST: Final = 'job="gateway",instance="gateway-0",method="POST",route="/api/tasks"'
STATEMENT: Final = (
    'service_name="task-manager",span_kind="SPAN_KIND_CLIENT",span_name="INSERT web_crawl_tasks",'
    'db_system_name="postgresql",status_code="STATUS_CODE_UNSET"'
)
ENDED: Final = "tracing_items_ended_total"
EXPORTED: Final = "tracing_items_exported_total"
ACCEPTED: Final = 'receiver_accepted_spans_total{job="collector"'
SENT: Final = 'exporter_sent_spans_total{job="collector"'
STORED: Final = 'exporter_sent_spans_total{job="trace-store"'
WAY: Final = (EXPORTED, ACCEPTED, SENT, STORED)
QUEUE: Final = 'queue_size{job="collector"'
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
