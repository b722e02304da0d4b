"""Every alert fires when it should, in time, and stays silent when it should not: promtool plays each case."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import yaml

from dashboards.rules import AlertRule, groups, rule_file
from stack.settings import Settings, load
from stack.settings.monitoring import monitoring_config
from tests.support.played import (
    FAULT,
    REQUESTS,
    SPANS,
    Change,
    Course,
    add,
    began_high,
    begins,
    change,
    constant,
    counted,
    counter,
    find,
    gone,
    healthy,
    histogram,
    new_pod_every_two_minutes,
    replace,
    since,
    starts_again,
    starts_again_every_two_minutes,
    then,
)
from tests.support.promtool import Look, Value, binary, judge


@dataclass(frozen=True, kw_only=True)
class Case:
    """What goes wrong at `FAULT`, and what must fire how many seconds later."""

    changes: tuple[Change, ...] = ()
    looks: Mapping[int, frozenset[str]] = field(default_factory=dict)
    sampled: bool = False


def case(*changes: Change, sampled: bool = False, **fires: str) -> Case:
    """`after_45="A B"`: 45 s after the fault A and B fire, and no others."""
    looks = {int(key.removeprefix("after_")): frozenset(names.split()) for key, names in fires.items()}
    return Case(changes=changes, looks=looks, sampled=sampled)


def _down(job: str) -> Change:
    """Its pods are there and do not answer."""

    def apply(series: dict[str, Value]) -> None:
        for name in find(series, f'job="{job}"'):
            if name.startswith("up{"):
                series[name] = then(series[name], constant(0))
            elif "produced" not in name or f'job="{job}"' in name:
                series[name] = gone(series[name])

    return apply


def _fails(selector: tuple[str, ...], share: float, rate: float = REQUESTS) -> Change:
    """A share of the spans fails from the fault on."""

    def apply(series: dict[str, Value]) -> None:
        (name,) = find(series, "calls_total", *selector)
        series[name] = counted(rate, rate * (1 - share))
        failed = name.replace("STATUS_CODE_UNSET", "STATUS_CODE_ERROR")
        series[failed] = then(lambda _: None, since(rate * share))

    return apply


def _takes(name: str, labels: str, seconds: float, unit: str = "seconds", rate: float = REQUESTS) -> Change:
    """Everything that a histogram counts takes this long from the fault on."""

    def slower(before: Value, after: Value) -> Value:
        """Goes on from where it was, at the pace of `after`."""
        counted_before = (before(FAULT) or 0.0) - (after(FAULT) or 0.0)
        return then(before, lambda now: (after(now) or 0.0) + counted_before)

    def apply(series: dict[str, Value]) -> None:
        for part, after in histogram(name, labels, rate, seconds, unit).items():
            series[part] = slower(series[part], after)

    return apply


STATUS: Final = 'job="task-manager",instance="task-manager-0",topic="task-status"'
ASKED: Final = 'job="gateway",instance="gateway-0",method="POST",route="/api/tasks"'
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


def _lost_before(stage: str) -> tuple[Change, ...]:
    """A tenth comes to the stage before and not to this one."""

    def less(part: str) -> Change:
        rate = SPANS / 3 if part == EXPORTED else SPANS  # one of three services
        return change(part, lambda _: counted(rate, rate * 0.9))

    return tuple(less(part) for part in WAY[WAY.index(stage) :])


def _restarts(every: float) -> Value:
    """When a process began that begins anew every so many seconds."""
    return lambda seconds: FAULT + every * ((seconds - FAULT) // every)


def _for_seconds(seconds: float, rate: float) -> Value:
    """A counter that begins with the fault and stops so much later."""
    return lambda now: None if now <= FAULT else min(now - FAULT, seconds) * rate


def _unsent(share: float) -> tuple[Change, ...]:
    """The store does not take a share of the spans, and they wait."""
    return (
        change(SENT, lambda _: counted(SPANS, SPANS * (1 - share))),
        change(STORED, lambda _: counted(SPANS, SPANS * (1 - share))),
        replace(QUEUE, lambda seconds: (seconds - FAULT) * SPANS * share),
    )


CRAWLED: Final = 'crawler_pages_total{job="web-crawler",instance="web-crawler-0",outcome='


def _everything_fails(course: Course) -> tuple[Change, ...]:
    """Fails for every rule that asks how much a counter has grown; the counters of the failures take such a course."""
    rates = {
        f'{CRAWLED}"error"}}': REQUESTS,
        'kafka_messages_produced_total{job="gateway",instance="gateway-0",topic="task-status",outcome="failure"}': 1.0,
        f'kafka_messages_consumed_total{{{STATUS},outcome="dead_letter"}}': 1.0,
        'tracing_export_requests_total{job="gateway",instance="gateway-0",signal="traces",code="unavailable"}': 1.0,
    }
    slow = {
        **histogram("http_server_request_duration_seconds", ASKED, REQUESTS, 2.0),
        **histogram("traces_span_metrics_duration_milliseconds", STATEMENT, REQUESTS, 600, "milliseconds"),
    }
    rates |= {name: (value(1000) or 0) / 1000 for name, value in slow.items()}

    def apply(series: dict[str, Value]) -> None:
        for operation in ("POST /api/tasks", "INSERT web_crawl_tasks"):
            (name,) = find(series, "calls_total", operation)
            series[name] = counted(REQUESTS, REQUESTS / 2)
            rates[name.replace("STATUS_CODE_UNSET", "STATUS_CODE_ERROR")] = REQUESTS / 2
        (name,) = find(series, CRAWLED, "completed")
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
TIMELINE: Final = {"after_30": _SOON, **{f"after_{at}": _ALL for at in (60, 120, 135, 150, 255, 600)}}
"""Whatever becomes of the counters: no restart delays an alert, and none ends it."""


def _scraped_again(series: str) -> Change:
    """A counter of failures long ago, and a target that is not scraped for three minutes."""

    def away(now: float) -> bool:
        return FAULT <= now < FAULT + 180

    def apply(played: dict[str, Value]) -> None:
        played[series] = lambda now: None if away(now) else 1000
        instance = re.search(r'instance="[^"]*"', series)
        assert instance
        (up,) = (name for name in find(played, instance[0]) if name.startswith("up{"))
        played[up] = lambda now: float(not away(now))

    return apply


def _falls_every_two_minutes(rate: float) -> Value:
    return lambda now: (now - FAULT) % 120 * rate


def _restarts_every_two_minutes(job: str, *counters: tuple[str, float]) -> tuple[Change, ...]:
    """A Collector's counters and their rates after the fault."""
    return (
        replace(f'uptime_seconds_total{{job="{job}"', lambda now: (now - FAULT) % 120),
        *(replace(part, _falls_every_two_minutes(rate)) for part, rate in counters),
    )


_LOOP_FAILURES: Final = (
    'background_loop_failures_total{job="task-manager",instance="task-manager-0",loop="consume-task-status"}'
)
CASES: Final[Mapping[str, Case]] = {
    # A collector that answers, a store that takes, ten requests a second.
    "healthy": case(after_0="", after_600="", after_1800=""),
    "healthy, with samplers": case(sampled=True, after_0="", after_600="", after_1800=""),
    # --- availability
    "a service is down": case(
        _down("gateway"),
        after_0="",
        after_45="ServiceDown",
        after_180="MetricsMissing ServiceDown",
    ),
    "no pod of a service is known": case(
        change(("up{", 'job="web-crawler"'), gone),
        after_45="ServiceDown",
    ),
    "a pod of two is away": case(
        replace(("up{", "gateway-1"), constant(0)), sampled=True, after_240="", after_330="ServiceDegraded"
    ),
    "a pod crashes again and again": case(
        replace(("process_start_time_seconds", "web-crawler"), _restarts(20)), after_45="CrashLoop"
    ),
    "a pod restarted once": case(
        replace(("process_start_time_seconds", "web-crawler"), constant(FAULT)), after_45="", after_240=""
    ),
    "the database is away": case(replace(("dependency_up", "postgres"), constant(0)), after_45="DependencyDown"),
    "a dependency is away for a moment": case(
        change(("dependency_up", "postgres"), lambda _: lambda s: 0 if FAULT < s <= FAULT + 15 else 1), after_30=""
    ),
    "the trace store is down": case(replace(("up{", "trace-store"), constant(0)), after_45="TraceStoreDown"),
    "the log store is down": case(replace(("up{", "log-store"), constant(0)), after_45="LogStoreDown"),
    "metrics are missing": case(
        change("db_client_connection_pool_size", gone), after_90="", after_150="MetricsMissing"
    ),
    "a pod makes series without end": case(
        replace(
            ("scrape_samples_post_metric_relabeling", "gateway"), lambda seconds: 400 + 10 * max(0.0, seconds - FAULT)
        ),
        after_60="",
        after_240="SamplesNearLimit",
    ),
    "a target without a limit": case(replace(("scrape_sample_limit", "gateway"), constant(0)), after_240=""),
    "a loop in the background fails again and again": case(
        add({_LOOP_FAILURES: since(0.1)}), after_15="", after_60="BackgroundFailures"
    ),
    "a loop in the background failed once": case(add({_LOOP_FAILURES: constant(1)}), after_60=""),
    "the receiver of the spans answers nonsense": case(
        add(
            {
                'tracing_export_errors_total{job="gateway",instance="gateway-0",signal="traces",kind="answer"}': since(
                    0.2
                )
            }
        ),
        after_60="BackgroundFailures",
    ),
    "rules cannot be evaluated": case(
        replace("prometheus_rule_evaluation_failures_total", since(0.1)), after_120="RulesFail"
    ),
    # --- notifications
    "the Alertmanager is down": case(
        replace(("up{", "alertmanager"), constant(0)), after_15="", after_45="AlertmanagerDown"
    ),
    "the Alertmanager is not found": case(
        replace("alertmanagers_discovered", constant(0)), after_120="", after_210="AlertsNotSent"
    ),
    "alerts are dropped again and again": case(
        replace("notifications_dropped", since(0.1)), after_120="", after_240="AlertsNotSent"
    ),
    "the Alertmanager began anew": case(replace("notifications_dropped", constant(5)), after_120="", after_300=""),
    "a notification fails": case(replace("notifications_failed", since(0.01)), after_60="NotificationsFail"),
    # --- services
    "five percent of the requests fail": case(
        _fails(("POST /api/tasks",), 0.05),
        after_120="ErrorRateHigh",
    ),
    "one percent of the requests fails": case(_fails(("POST /api/tasks",), 0.01), after_120="", after_600=""),
    "requests take too long": case(
        _takes("http_server_request_duration_seconds", ASKED, 2.0), after_15="", after_120="RequestsSlow"
    ),
    "requests take half the time they may": case(
        _takes("http_server_request_duration_seconds", ASKED, 0.4), after_120="", after_600=""
    ),
    "hardly any request": case(
        change("http_server_requests_total", lambda _: counted(REQUESTS, 0)), after_240="", after_900="TrafficDropped"
    ),
    "half the requests": case(
        change("http_server_requests_total", lambda _: counted(REQUESTS, REQUESTS / 2)), after_240="", after_900=""
    ),
    "pages cannot be fetched": case(
        change('crawler_pages_total{job="web-crawler"', lambda _: counted(REQUESTS, 0)),
        add({'crawler_pages_total{job="web-crawler",instance="web-crawler-0",outcome="error"}': since(REQUESTS)}),
        after_45="CrawlsFail",
    ),
    "a tenth of the pages cannot be fetched": case(
        change('crawler_pages_total{job="web-crawler"', lambda _: counted(REQUESTS, REQUESTS * 0.9)),
        add({'crawler_pages_total{job="web-crawler",instance="web-crawler-0",outcome="error"}': since(REQUESTS / 10)}),
        after_120="",
        after_600="",
    ),
    "tasks take too long": case(
        _takes("task_duration_seconds", 'job="task-manager",instance="task-manager-0",status="completed"', 31),
        after_30="",
        after_300="ErrorBudgetBurns TasksSlow",
    ),
    "a task is stuck": case(
        replace("web_crawl_tasks_oldest_seconds", lambda seconds: seconds - FAULT), after_300="", after_420="TasksStuck"
    ),
    # --- Kafka
    "a consumer stopped": case(
        change(("kafka_message_processing_seconds_count", "requests-web-crawl"), lambda _: counted(REQUESTS, 0)),
        # The rate's minute has to be over.
        after_30="",
        after_90="ConsumerStopped",
    ),
    "nobody sends, nobody handles": case(
        change("kafka_message", lambda before: then(before, lambda _: before(FAULT))), after_120="", after_600=""
    ),
    "no partition is read": case(replace("kafka_consumer_partitions", constant(0)), after_60="ConsumerUnassigned"),
    "consumers fall behind": case(
        replace(("kafka_consumer_lag_messages", "task-status"), lambda seconds: (seconds - FAULT) * 5),
        after_120="LagGrows",
    ),
    "a backlog is worked off": case(
        replace(("kafka_consumer_lag_messages", "task-status"), lambda seconds: max(0, 3000 - (seconds - FAULT) * 5)),
        after_300="",
    ),
    "messages wait": case(_takes("kafka_message_wait_seconds", STATUS, 20), after_15="", after_120="MessagesWait"),
    "messages cannot be sent": case(
        add({'kafka_messages_produced_total{job="gateway",topic="task-status",outcome="failure"}': since(1)}),
        after_45="SendingFails",
    ),
    "messages are put aside": case(
        add(
            {'kafka_messages_consumed_total{job="task-manager",topic="task-status",outcome="dead_letter"}': constant(1)}
        ),
        after_15="DeadLetters",
        # Told once.
        after_400="",
    ),
    # --- database
    "statements are slow": case(
        _takes("traces_span_metrics_duration_milliseconds", STATEMENT, 600, "milliseconds"),
        after_90="StatementsSlow",
    ),
    "statements fail": case(_fails(("INSERT web_crawl_tasks",), 0.2), after_45="DependencyFails StatementsFail"),
    "all connections are in use": case(
        replace("db_client_connection_count", constant(5)), after_45="", after_90="PoolExhausted"
    ),
    "connections cannot be had in time": case(
        replace("db_client_connection_timeouts_total", since(0.2)), after_120="PoolExhausted"
    ),
    # --- dependencies
    "pages answer with errors": case(_fails(("web-crawler", '"GET"'), 0.5), after_60="DependencyFails"),
    # --- the services' exports
    "a Collector restarts within seconds": case(
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unavailable"}': _for_seconds(5, 1)}),
        change(("tracing_buffer_bytes", "gateway"), lambda _: lambda now: 1000.0 if FAULT < now <= FAULT + 10 else 0.0),
        after_15="",
        after_30="",
        after_60="",
    ),
    "the token is wrong": case(
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unauthenticated"}': since(1)}),
        add({'tracing_items_refused_total{job="gateway",signal="traces",reason="unauthenticated"}': since(100)}),
        after_45="ExportFails",
    ),
    "exports fail": case(
        change(("tracing_export_requests_total", "gateway"), lambda _: counted(1, 0)),
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unavailable"}': since(1)}),
        replace(("tracing_buffer_bytes", "gateway"), since(1000)),
        after_45="ExportFails",
    ),
    "one export in two hundred fails": case(
        change(("tracing_export_requests_total", "gateway"), lambda _: counter(10)),
        add({'tracing_export_requests_total{job="gateway",signal="traces",code="unavailable"}': since(0.05)}),
        after_300="",
    ),
    "the breaker is open": case(replace(("breaker_state", "gateway"), constant(2)), after_45="BreakerOpen"),
    "a buffer fills": case(replace(("tracing_buffer_bytes", "gateway"), constant(9e6)), after_45="BufferFills"),
    "no metrics are made of the spans": case(change("traces_span_metrics", gone), after_240="SpanMetricsMissing"),
    # --- the ledger of spans
    "spans vanish in a service": case(*_lost_before(EXPORTED), after_300="", after_1500="SpansMissing"),
    "spans vanish before the Collectors": case(*_lost_before(ACCEPTED), after_1500="SpansMissing"),
    "spans vanish in a Collector": case(*_lost_before(SENT), after_1500="SpansMissing"),
    "spans vanish in the store": case(*_lost_before(STORED), after_1500="SpansMissing"),
    "spans are dropped, and said so": case(
        *_lost_before(EXPORTED),
        add(
            {
                f'tracing_items_dropped_total{{job="{job}",signal="traces",reason="queue_full"}}': since(SPANS / 30)
                for job in ("gateway", "task-manager", "web-crawler")
            }
        ),
        after_240="",
        after_360="SpansDropped",
        after_1500="SpansDropped",
    ),
    "the store takes nothing": case(*_unsent(1.0), after_90="CollectorQueueStuck"),
    "the store takes half": case(
        *_unsent(0.5),
        replace('queue_capacity{job="collector"', constant(1000)),
        after_240="",
        after_360="CollectorQueueFills",
    ),
    "a Collector refuses": case(
        replace('receiver_refused_spans_total{job="collector"', since(5)), after_240="", after_360="CollectorRefuses"
    ),
    "the store refuses a request for good": case(
        add(
            {
                'otelcol_exporter_send_failed_spans_total{job="collector",instance="collector-0",'
                'exporter="otlp_grpc/traces",error_permanent="true",error_type="InvalidArgument"}': constant(100)
            }
        ),
        after_15="ExportRefused",
        after_400="",
    ),
    "the log store refuses what is too old": case(
        add(
            {
                'otelcol_exporter_send_failed_log_records_total{job="collector",instance="collector-0",'
                'exporter="otlp_http/logs",error_permanent="true",error_type="400"}': since(1)
            }
        ),
        after_60="ExportRefused",
    ),
    "a damaged queue is set aside": case(
        add(
            {
                'collector_queue_files_set_aside_total{instance="a",queue="exporter_otlp_grpc_traces_traces"}': (
                    constant(1)
                ),
                'collector_queue_items_lost_total{instance="a",queue="exporter_otlp_grpc_traces_traces"}': (
                    constant(5000)
                ),
            }
        ),
        after_15="QueueSetAside",
        after_840="QueueSetAside",
        # Told once.
        after_1200="",
    ),
    "a damaged queue with nothing in it is set aside": case(
        add({'collector_queue_files_set_aside_total{instance="a",queue="exporter_otlp_http_logs_logs"}': constant(1)}),
        add({'collector_queue_items_lost_total{instance="a",queue="exporter_otlp_http_logs_logs"}': constant(0)}),
        after_15="QueueSetAside",
    ),
    "a Collector is down": case(
        replace(("up{", 'job="collector"'), constant(0)), after_15="", after_45="CollectorDown"
    ),
    "a Collector began anew": case(
        change(ACCEPTED, lambda before: then(before, lambda s: (s - FAULT) * SPANS)),
        change(SENT, lambda before: then(before, lambda s: (s - FAULT) * SPANS)),
        replace('uptime_seconds_total{job="collector"', lambda seconds: seconds - FAULT),
        after_300="",
        after_1500="",
    ),
    "spans vanish in Kafka": case(
        change(READ, lambda _: counted(SPANS, SPANS / 2)),
        change('exporter_sent_spans_total{job="sampler"', lambda _: counter(SPANS / 10)),
        sampled=True,
        after_1500="SpansMissing",
    ),
    "samplers fall behind": case(
        change(READ, lambda _: counted(SPANS, SPANS / 2)),
        replace("offset_lag", lambda seconds: (seconds - FAULT) * 5),
        sampled=True,
        after_840="SamplerBehind",
    ),
    "samplers have no room": case(
        replace("sampling_trace_dropped_too_early", since(5)), sampled=True, after_150="SamplerDropsTraces"
    ),
    # --- counters that start again
    **{
        f"everything fails, {how}": case(*_everything_fails(course), sampled=True, **TIMELINE)
        for how, course in {
            "for the first time": begins,
            "and much at once": began_high,
            "and its process restarted": starts_again,
            "and its process restarts every two minutes": starts_again_every_two_minutes,
            "in a new pod every two minutes": new_pod_every_two_minutes,
        }.items()
    },
    "the store takes nothing from a Collector that restarts every two minutes": case(
        change(STORED, lambda _: counted(SPANS, 0)),
        *_restarts_every_two_minutes("collector", (ACCEPTED, SPANS), (SENT, 0)),
        # Its queue is known with the second scrape.
        replace(QUEUE, lambda now: (now - FAULT) * SPANS if (now - FAULT) % 120 >= 15 else None),
        after_90="CollectorQueueStuck",
        after_225="CollectorQueueStuck",
    ),
    "spans vanish in a Collector that restarts every two minutes": case(
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
    # Nothing but the target's answers without the counter shows that it is another process.
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
    # --- objectives
    "a tenth of the requests fails": case(
        change("http_server_requests_total", lambda _: counted(REQUESTS, REQUESTS * 0.9)),
        add({f'http_server_requests_total{{{ASKED},status="503"}}': since(REQUESTS / 10)}),
        after_30="",
        after_900="ErrorBudgetBurns",
    ),
    "one request in ten thousand fails": case(
        add({f'http_server_requests_total{{{ASKED},status="503"}}': since(REQUESTS / 10_000)}),
        after_300="",
        after_900="",
    ),
}


def settings(*, sampled: bool) -> Settings:
    """Of a stack with the counters of the stand-in for Tempo."""
    stack = load("staging" if sampled else "dev")
    services = stack.services.model_copy(
        update={}
        if sampled
        else {
            name: getattr(stack.services, name).model_copy(update={"replicas": 1})
            for name in ("gateway", "task_manager", "crawler")
        }
    )
    traces = stack.traces.model_copy(update={"backend": "jaeger"})
    return stack.model_copy(update={"traces": traces, "services": services})


@pytest.fixture(scope="module")
def objections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Case → what promtool has to object."""
    promtool = binary()
    directory = tmp_path_factory.mktemp("cases")

    def play(name: str) -> str:
        wanted = CASES[name]
        stack = settings(sampled=wanted.sampled)
        series = dict(healthy(stack))
        for apply in wanted.changes:
            apply(series)
        looks = [Look(at=FAULT + after, fires=fires) for after, fires in wanted.looks.items()]
        folder = directory / str(list(CASES).index(name))
        folder.mkdir()
        return judge(promtool, folder, stack, series, max(look.at for look in looks), looks)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(CASES, pool.map(play, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_right_alerts_fire(name: str, objections: dict[str, str]) -> None:
    assert not objections[name]


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    declared = {
        rule.name
        for sampled in (False, True)
        for group in groups(monitoring_config(settings(sampled=sampled)))
        for rule in group.rules
        if isinstance(rule, AlertRule)
    }
    assert declared - {"Watchdog"} == {
        name for case in CASES.values() for fires in case.looks.values() for name in fires
    }


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_every_alert_says_what_it_is_and_where_to_look(stack: str) -> None:
    loaded = load(stack)
    for group in yaml.safe_load(rule_file(groups(monitoring_config(loaded)), "http://grafana"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["severity"] in ("page", "ticket", "none")
                assert rule["annotations"]["summary"]
                assert rule["annotations"]["runbook_url"] == f"http://grafana/d/runbook-{rule['alert'].lower()}"
                assert rule["annotations"]["dashboard_url"].startswith("http://grafana/d/")


def test_rules_pass_promtools_own_check(tmp_path: Path) -> None:
    promtool = binary()
    for stack in ("local", "dev", "staging", "prod"):
        file = tmp_path / f"{stack}.yml"
        file.write_text(rule_file(groups(monitoring_config(load(stack))), "http://grafana"))
        done = subprocess.run(
            [promtool, "check", "rules", "--lint=all", "--lint-fatal", file], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
