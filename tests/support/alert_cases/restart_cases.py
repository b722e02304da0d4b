"""Faults while counters restart, begin or cannot be scraped, and the alerts that they raise."""

import re
from collections.abc import Mapping
from typing import Final

from tests.support.alert_cases.faults import (
    ACCEPTED,
    QUEUE,
    REQUEST,
    SENT,
    STATEMENT,
    STATUS,
    STORED,
    Case,
    case,
)
from tests.support.alert_cases.metrics import (
    FAULT,
    REQUESTS,
    SPANS,
    Change,
    Course,
    add,
    began_high,
    begins,
    change,
    counted,
    find,
    histogram,
    new_pod_every_two_minutes,
    replace,
    since,
    starts_again,
    starts_again_every_two_minutes,
)
from tests.support.promtool import Value

_CRAWLED: Final = 'crawler_pages_total{job="web-crawler",instance="web-crawler-0",outcome='


def _everything_fails(course: Course) -> tuple[Change, ...]:
    """Return the fault for every rule that uses the increase of a counter; `course` decides how the counters begin."""
    rates = {
        f'{_CRAWLED}"failed"}}': REQUESTS,
        'kafka_messages_produced_total{job="gateway",instance="gateway-0",topic="task-status",outcome="failure"}': 1.0,
        f'kafka_messages_consumed_total{{{STATUS},outcome="dead_letter"}}': 1.0,
        'tracing_export_requests_total{job="gateway",instance="gateway-0",signal="traces",code="unavailable"}': 1.0,
    }
    slow = {
        **histogram("http_server_request_duration_seconds", REQUEST, REQUESTS, 2.0),
        **histogram("traces_span_metrics_duration_milliseconds", STATEMENT, REQUESTS, 600, "milliseconds"),
    }
    rates |= {name: (value(1000) or 0) / 1000 for name, value in slow.items()}

    def apply(series: dict[str, Value]) -> None:
        for operation in ("POST /api/tasks", "INSERT web_crawl_tasks"):
            (name,) = find(series, "calls_total", operation)
            series[name] = counted(REQUESTS, REQUESTS / 2)
            rates[name.replace("STATUS_CODE_UNSET", "STATUS_CODE_ERROR")] = REQUESTS / 2
        (name,) = find(series, _CRAWLED, "completed")
        series[name] = counted(REQUESTS, 0)
        (name,) = find(series, "too_early")
        rates[name] = 5.0
        (name,) = find(series, "tracing_buffer_bytes", "gateway")
        series[name] = since(1000)
        for name, rate in rates.items():
            series.pop(name, None)
            series.update(course(name, rate))

    return (apply,)


_SOON: Final = (
    "CrawlsFail DeadLetters DependencyFails ErrorRateHigh ExportFails SendingFails StatementsFail StatementsSlow"
)
_ALL: Final = f"{_SOON} RequestsSlow SamplerDropsTraces"
TIMELINE: Final = {"after_30": _SOON, **{f"after_{seconds}": _ALL for seconds in (60, 120, 135, 150, 255, 600)}}
"""The alerts after the fault: no restart delays an alert or ends it."""


def _scraped_again(series: str) -> Change:
    """Return the fault: Prometheus cannot scrape a target, which counted failures long ago, for three minutes."""

    def is_unscraped(now: float) -> bool:
        return FAULT <= now < FAULT + 180

    def apply(series_by_name: dict[str, Value]) -> None:
        series_by_name[series] = lambda now: None if is_unscraped(now) else 1000
        instance = re.search(r'instance="[^"]*"', series)
        assert instance
        (up,) = (name for name in find(series_by_name, instance[0]) if name.startswith("up{"))
        series_by_name[up] = lambda now: float(not is_unscraped(now))

    return apply


def _falls_every_two_minutes(rate: float) -> Value:
    return lambda now: (now - FAULT) % 120 * rate


def _restarts_every_two_minutes(job: str, *counters: tuple[str, float]) -> tuple[Change, ...]:
    """Return the fault: a Collector restarts every two minutes; its counters have these rates."""
    return (
        replace(f'uptime_seconds_total{{job="{job}"', lambda now: (now - FAULT) % 120),
        *(replace(part, _falls_every_two_minutes(rate)) for part, rate in counters),
    )


CASES: Final[Mapping[str, Case]] = {
    # --- counters that restart
    **{
        f"everything fails, {how}": case(*_everything_fails(course), stack="with samplers", **TIMELINE)
        for how, course in {
            "for the first time": begins,
            "with many events at once": began_high,
            "and its process restarted": starts_again,
            "and its process restarts every two minutes": starts_again_every_two_minutes,
            "in a new pod every two minutes": new_pod_every_two_minutes,
        }.items()
    },
    "the store accepts nothing from a Collector that restarts every two minutes": case(
        change(STORED, lambda _: counted(SPANS, 0)),
        *_restarts_every_two_minutes("collector", (ACCEPTED, SPANS), (SENT, 0)),
        # The queue size is known from the second scrape on.
        replace(QUEUE, lambda now: (now - FAULT) * SPANS if (now - FAULT) % 120 >= 15 else None),
        after_90="CollectorQueueStuck",
        after_225="CollectorQueueStuck",
    ),
    "spans are lost in a Collector that restarts every two minutes": case(
        change(STORED, lambda _: counted(SPANS, SPANS / 2)),
        *_restarts_every_two_minutes("collector", (ACCEPTED, SPANS), (SENT, SPANS / 2)),
        after_1500="SpansMissing",
    ),
    "a Collector restarts every two minutes": case(
        *_restarts_every_two_minutes("collector", (ACCEPTED, SPANS), (SENT, SPANS)), after_300="", after_1500=""
    ),
    "a target that failed long ago is scraped again": case(
        _scraped_again(f'kafka_messages_consumed_total{{{STATUS},outcome="dead_letter"}}'),
        _scraped_again('kafka_messages_produced_total{job="gateway",instance="gateway-0",outcome="failure"}'),
        after_195="",
        after_225="",
        after_420="",
    ),
    # Only the scrapes without the counter show that it is another process.
    "a process restarted and fails as often as the one before": case(
        add(
            {
                f'kafka_messages_consumed_total{{{STATUS},outcome="dead_letter"}}': (
                    lambda now: None if FAULT + 15 < now < FAULT + 900 else 1
                )
            }
        ),
        after_15="DeadLetters",
        after_600="",
        after_915="DeadLetters",
    ),
}
