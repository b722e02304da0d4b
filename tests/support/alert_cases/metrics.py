"""Simulated metrics of a healthy stack, and functions that change them when a fault begins."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from contracts.services import SERVICES
from stack.settings import Settings
from tests.support.promtool import Metrics, Value

FAULT = 35 * 60
"""Seconds from the start to the fault; rules that compare half an hour have their data by then."""
REQUESTS = 10.0
"""Requests per second at the gateway; each makes a task, two messages and ten spans."""
PROOFS = 1 / 60
"""Proofs of the probe per second."""
SPANS = 100.0
"""Spans per second."""

MANAGER: Final = 'job="task-manager",instance="task-manager-0"'
CRAWLER: Final = 'job="web-crawler",instance="web-crawler-0"'

Change = Callable[[dict[str, Value]], None]

_BUCKETS = {
    "seconds": (
        "0.005",
        "0.01",
        "0.025",
        "0.05",
        "0.1",
        "0.25",
        "0.5",
        "1.0",
        "2.5",
        "5.0",
        "10.0",
        "30.0",
        "60.0",
        "+Inf",
    ),
    "milliseconds": ("2", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "+Inf"),
}


def constant(value: float) -> Value:
    """Return a value that does not change."""
    return lambda _: value


def counter(rate: float) -> Value:
    """Return a counter that grows by `rate` per second, in whole steps."""
    return lambda seconds: float(int(seconds * rate + 1e-9))


def used(share: float) -> Value:
    """Return the CPU time of a process that uses this share of a core."""
    return lambda seconds: seconds * share


def then(healthy_value: Value, faulty_value: Value) -> Value:
    """Return a value that changes with the fault."""
    return lambda seconds: healthy_value(seconds) if seconds < FAULT else faulty_value(seconds)


def counted(healthy_rate: float, faulty_rate: float) -> Value:
    """Return a counter whose rate changes with the fault."""

    def value(seconds: float) -> float:
        return float(int(healthy_rate * min(seconds, FAULT) + faulty_rate * max(0.0, seconds - FAULT) + 1e-9))

    return value


def stops(value: Value) -> Value:
    """Return a counter that no longer grows."""
    return then(value, constant(value(FAULT) or 0.0))


def gone(value: Value) -> Value:
    """Return a value that ends with the fault."""
    return then(value, lambda _: None)


def histogram(name: str, labels: str, rate: float, takes: float, unit: str = "seconds") -> dict[str, Value]:
    """Return a histogram whose events all take the same time."""
    return {
        **{
            f'{name}_bucket{{{labels}{"," if labels else ""}le="{edge}"}}': counter(rate if takes <= float(edge) else 0)
            for edge in _BUCKETS[unit]
        },
        f"{name}_count{{{labels}}}": counter(rate),
        f"{name}_sum{{{labels}}}": counter(rate * takes),
    }


def _spans(service: str, kind: str, name: str, rate: float, database: str = "") -> dict[str, Value]:
    labels = f'service_name="{service}",span_kind="SPAN_KIND_{kind}",span_name="{name}"'
    if database:
        labels += f',db_system_name="{database}"'
    ok = f'{labels},status_code="STATUS_CODE_UNSET"'
    return {
        f"traces_span_metrics_calls_total{{{ok}}}": counter(rate),
        **histogram("traces_span_metrics_duration_milliseconds", ok, rate, 4, "milliseconds"),
    }


def healthy(settings: Settings) -> dict[str, Value]:
    """Return all metrics that the rules use, with ten requests per second and no fault."""
    return {
        **_targets(settings),
        **(_services() | _messages() if settings.services.enabled else {}),
        **_all_spans(),
        **_collectors(settings),
        **_store(settings),
        **_alerting(),
        **(_proofs() if settings.has_probe else {}),
        **(_publications() if settings.grafana.published else {}),
    }


def _samplers(settings: Settings) -> tuple[str, ...]:
    return ("sampler",) if settings.collector.sampling else ()


def _targets(settings: Settings) -> dict[str, Value]:
    """Return what Prometheus records about each pod that it scrapes."""
    series: dict[str, Value] = {}
    stores = (
        *("collector", "span-metrics", "trace-store"),
        *(("log-store",) if settings.logs.enabled else ()),
        *(("alertmanager",) if settings.alerting.enabled else ()),
        *(("probe",) if settings.has_probe else ()),
        *(("grafana-publisher",) if settings.grafana.published else ()),
    )
    services = SERVICES if settings.services.enabled else ()
    replicas = {name: size.replicas for name, size in settings.services.sizes.items()}
    replicas["log-store"] = settings.logs.replicas
    for job in (*services, *stores, *_samplers(settings)):
        for pod in range(replicas.get(job, 1)):
            labels = f'job="{job}",instance="{job}-{pod}"'
            series |= {
                f"up{{{labels}}}": constant(1),
                f"scrape_samples_post_metric_relabeling{{{labels}}}": constant(400),
                f"scrape_sample_limit{{{labels}}}": constant(2000),
            }
    return series


def _services() -> dict[str, Value]:
    """Return the metrics of the services, without those of messages."""
    series: dict[str, Value] = {}
    for job in SERVICES:
        labels = f'job="{job}",instance="{job}-0"'
        series |= {
            f"process_start_time_seconds{{{labels}}}": constant(1),
            f"process_cpu_seconds_total{{{labels}}}": used(0.1),
            f'dependency_up{{{labels},dependency="kafka"}}': constant(1),
            f'tracing_items_ended_total{{{labels},signal="traces"}}': counter(SPANS / 3),
            f'tracing_items_exported_total{{{labels},signal="traces"}}': counter(SPANS / 3),
            f'tracing_queue_items{{{labels},signal="traces"}}': constant(0),
            f'tracing_export_requests_total{{{labels},signal="traces",code="ok"}}': counter(1),
            f'tracing_breaker_state{{{labels},signal="traces"}}': constant(0),
            f'tracing_breaker_opened_total{{{labels},signal="traces"}}': constant(0),
            f'tracing_buffer_bytes{{{labels},signal="traces"}}': constant(0),
            f'tracing_buffer_capacity_bytes{{{labels},signal="traces"}}': constant(16e6),
        }
    gateway = 'job="gateway",instance="gateway-0",method="POST",route="/api/tasks"'
    series |= {f'http_server_requests_total{{{gateway},status="202"}}': counter(REQUESTS)}
    series |= histogram("http_server_request_duration_seconds", gateway, REQUESTS, 0.004)
    series |= {
        f'dependency_up{{{MANAGER},dependency="postgres"}}': constant(1),
        f'crawler_pages_total{{{CRAWLER},outcome="completed"}}': counter(REQUESTS),
        f'crawler_pages_total{{{CRAWLER},outcome="error"}}': constant(0),
        f'crawler_pages_total{{{CRAWLER},outcome="failed"}}': constant(0),
        f"crawler_unreachable_sites{{{CRAWLER}}}": constant(0),
        f'web_crawl_tasks{{{MANAGER},status="new",window="24h"}}': constant(2),
        f"web_crawl_tasks_oldest_seconds{{{MANAGER}}}": constant(0.2),
        f'db_client_connection_pool_size{{{MANAGER},pool="tasks"}}': constant(5),
        f'db_client_connection_count{{{MANAGER},pool="tasks",state="used"}}': constant(1),
        f'db_client_connection_timeouts_total{{{MANAGER},pool="tasks"}}': constant(0),
    }
    series |= histogram("db_client_connection_wait_seconds", f'{MANAGER},pool="tasks"', REQUESTS, 0.001)
    series |= histogram("crawler_fetch_duration_seconds", CRAWLER, REQUESTS, 0.2)
    series |= histogram("task_duration_seconds", f'{MANAGER},status="completed"', REQUESTS, 0.3)
    return series


def _messages() -> dict[str, Value]:
    """Return the metrics of both topics, and of Kafka's partitions."""
    series: dict[str, Value] = {
        f"kafka_partitions_under_replicated{{{MANAGER}}}": constant(0),
        f"kafka_partitions_offline{{{MANAGER}}}": constant(0),
    }
    for consumer, topic, sender in (
        (MANAGER, "task-status", 'job="gateway",instance="gateway-0"'),
        (CRAWLER, "requests-web-crawl", MANAGER),
    ):
        of = f'{consumer},topic="{topic}"'
        series |= {
            f'kafka_messages_produced_total{{{sender},topic="{topic}",outcome="success"}}': counter(REQUESTS),
            f'kafka_messages_consumed_total{{{of},outcome="completed"}}': counter(REQUESTS),
            f"kafka_consumer_partitions{{{of}}}": constant(3),
            f'kafka_consumer_lag_messages{{{of},partition="0"}}': constant(0),
        }
        series |= histogram("kafka_message_processing_seconds", of, REQUESTS, 0.01)
        series |= histogram("kafka_message_wait_seconds", of, REQUESTS, 0.02)
    return series


def _all_spans() -> dict[str, Value]:
    """Return the span metrics."""
    series: dict[str, Value] = {}
    for service, kind, name, database in (
        ("gateway", "SERVER", "POST /api/tasks", ""),
        ("gateway", "PRODUCER", "send task-status", ""),
        ("task-manager", "CONSUMER", "process task-status", ""),
        ("task-manager", "CLIENT", "INSERT web_crawl_tasks", "postgresql"),
        ("task-manager", "PRODUCER", "send requests-web-crawl", ""),
        ("web-crawler", "CONSUMER", "process requests-web-crawl", ""),
        ("web-crawler", "CLIENT", "GET", ""),
    ):
        series |= _spans(service, kind, name, REQUESTS, database)
    return series


def _collectors(settings: Settings) -> dict[str, Value]:
    """Return the metrics of the Collectors and the samplers."""
    series: dict[str, Value] = {}
    for job in ("collector", *_samplers(settings)):
        labels = f'job="{job}",instance="{job}-0"'
        series |= {
            f"otelcol_receiver_accepted_spans_total{{{labels}}}": counter(SPANS),
            f"otelcol_receiver_refused_spans_total{{{labels}}}": constant(0),
            f"otelcol_receiver_failed_spans_total{{{labels}}}": constant(0),
            f"otelcol_exporter_sent_spans_total{{{labels}}}": counter(SPANS if job == "collector" else SPANS / 10),
            f'otelcol_exporter_queue_size{{{labels},data_type="traces"}}': constant(0),
            f'otelcol_exporter_queue_capacity{{{labels},data_type="traces"}}': constant(1e6),
            f'otelcol_exporter_queue_size{{{labels},data_type="logs"}}': constant(0),
            f'otelcol_exporter_queue_capacity{{{labels},data_type="logs"}}': constant(250_000),
            f"otelcol_process_runtime_heap_alloc_bytes{{{labels}}}": constant(60e6),
            f"otelcol_process_cpu_seconds_total{{{labels}}}": used(0.1),
            f"otelcol_process_uptime_seconds_total{{{labels}}}": lambda seconds: 1000 + seconds,
        }
    for job in _samplers(settings):
        labels = f'job="{job}",instance="{job}-0"'
        series |= {
            f'otelcol_kafka_receiver_offset_lag{{{labels},partition="0"}}': constant(0),
            f"otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total{{{labels}}}": constant(0),
        }
    return series


def _store(settings: Settings) -> dict[str, Value]:
    """Return the metrics of the trace store."""
    series: dict[str, Value] = {}
    stored = SPANS / 10 if settings.collector.sampling else SPANS
    labels = 'job="trace-store",instance="trace-store-0"'
    series |= {
        f"otelcol_exporter_sent_spans_total{{{labels}}}": counter(stored),
        f"otelcol_process_uptime_seconds_total{{{labels}}}": lambda seconds: 1000 + seconds,
    }
    if settings.traces.distributed:
        series |= {
            f"tempo_distributor_spans_received_total{{{labels}}}": counter(stored),
            f"tempo_block_builder_flushed_blocks{{{labels}}}": counter(1 / 60),
        }
    if settings.logs.object_storage:
        series |= {_STORAGE_FAILURES: constant(0)}
    return series


_STORAGE_FAILURES: Final = 'loki_objstore_bucket_operation_failures_total{job="log-store",instance="log-store-0"}'


def _alerting() -> dict[str, Value]:
    """Return the metrics of Prometheus and Alertmanager about themselves."""
    return {
        'prometheus_rule_evaluation_failures_total{job="prometheus",rule_group="x"}': constant(0),
        'prometheus_rule_group_last_duration_seconds{job="prometheus",rule_group="x"}': constant(0.05),
        'prometheus_rule_group_interval_seconds{job="prometheus",rule_group="x"}': constant(15),
        'prometheus_notifications_alertmanagers_discovered{job="prometheus"}': constant(1),
        'prometheus_notifications_dropped_total{job="prometheus"}': constant(0),
        'prometheus_notifications_sent_total{job="prometheus",alertmanager="http://alertmanager-0"}': counter(0.1),
        'prometheus_notifications_errors_total{job="prometheus",alertmanager="http://alertmanager-0"}': constant(0),
        'alertmanager_notifications_failed_total{job="alertmanager",receiver_name="page",integration="slack",'
        'reason="serverError"}': constant(0),
    }


def _publications() -> dict[str, Value]:
    """Return the metric of the publisher, which writes every five minutes."""
    labels = 'job="grafana-publisher",instance="grafana-publisher-0"'
    return {f"grafana_publisher_success_timestamp_seconds{{{labels}}}": lambda seconds: seconds - seconds % 300}


def _proofs() -> dict[str, Value]:
    """Return the metrics of the probe: a complete proof a minute."""
    labels = 'job="probe",instance="probe-0"'
    series: dict[str, Value] = {
        f'telemetry_probe_proofs_total{{{labels},result="complete"}}': counter(PROOFS),
        f'telemetry_probe_proofs_total{{{labels},result="incomplete"}}': constant(0),
        f'telemetry_probe_proofs_total{{{labels},result="no_task"}}': constant(0),
    }
    for step in ("request", "task", "trace", "search", "logs", "metrics", "exemplars"):
        series |= {
            f'telemetry_probe_steps_total{{{labels},step="{step}",result="ok"}}': counter(PROOFS),
            f'telemetry_probe_steps_total{{{labels},step="{step}",result="failed"}}': constant(0),
        }
    for server in ("kafka", "postgres"):
        series[f'stack_certificate_start_timestamp_seconds{{{labels},server="{server}"}}'] = constant(0)
        series[f'stack_certificate_end_timestamp_seconds{{{labels},server="{server}"}}'] = constant(397 * 86_400)
    return series | histogram("telemetry_probe_complete_seconds", labels, PROOFS, 12)


def find(series: Metrics, *parts: str) -> list[str]:
    """Return the series whose text has all these parts; at least one."""
    names = [name for name in series if all(part in name for part in parts)]
    assert names, f"no series has {parts}"
    return names


def change(parts: str | Iterable[str], how: Callable[[Value], Value]) -> Change:
    """Return a change of each series whose text has the parts."""

    def apply(series: dict[str, Value]) -> None:
        for name in find(series, *([parts] if isinstance(parts, str) else parts)):
            series[name] = how(series[name])

    return apply


def replace(parts: str | Iterable[str], faulty_value: Value) -> Change:
    """Return a change to another value when the fault begins."""
    return change(parts, lambda healthy_value: then(healthy_value, faulty_value))


def add(new_series: Mapping[str, Value]) -> Change:
    """Return a change that adds series when the fault begins."""

    def apply(series: dict[str, Value]) -> None:
        for name, value in new_series.items():
            series[name] = then(lambda _: None, value)

    return apply


def since(rate: float) -> Value:
    """Return a counter that begins with the fault, at 1."""
    return lambda seconds: float(int((seconds - FAULT) * rate) + 1)


Course = Callable[[str, float], Mapping[str, Value]]
"""A series and its rate after the fault → the series that are simulated for it."""


def _steps(seconds: float, rate: float) -> float:
    return float(int(seconds * rate) + 1) if rate else 0.0


def begins(name: str, rate: float) -> Mapping[str, Value]:
    """The counter begins with the fault."""
    return {name: then(lambda _: None, lambda now: _steps(now - FAULT, rate))}


def began_high(name: str, rate: float) -> Mapping[str, Value]:
    """The counter begins with the fault, and its first scrape already has many events."""
    return {name: then(lambda _: None, lambda now: _steps(now - FAULT + 60, rate))}


def starts_again(name: str, rate: float) -> Mapping[str, Value]:
    """The process restarts with the fault; its counter was higher before."""
    return {name: then(constant(1e5 if rate else 0), lambda now: _steps(now - FAULT, rate))}


def starts_again_every_two_minutes(name: str, rate: float) -> Mapping[str, Value]:
    """The process restarts every two minutes, with the same labels."""
    return {name: then(constant(1e5 if rate else 0), lambda now: _steps((now - FAULT) % 120, rate))}


def new_pod_every_two_minutes(name: str, rate: float) -> Mapping[str, Value]:
    """Every two minutes another pod replaces the one before, with labels of its own."""

    def life(number: int) -> Value:
        begin = FAULT + 120 * number
        return lambda now: _steps(now - begin, rate) if begin <= now < begin + 120 else None

    return {name.replace("{", f'{{pod="{number}",', 1): life(number) for number in range(8)}
