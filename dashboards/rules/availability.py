"""Alerts on services, stores and metrics that are unavailable: without metrics no other alert can fire."""

from typing import Final

from contracts import endpoints, metrics, service_metrics
from contracts.metrics import DEPENDENCY, INSTANCE, JOB, LOG_STORE_JOB, SPAN_METRICS_JOB, TRACE_STORE_JOB, WORKLOAD
from contracts.services import TASK_MANAGER
from contracts.topics import CONSUMER_GROUPS
from dashboards.config import MonitoringConfig
from dashboards.queries import OTLP_TRACES, SERVICE_JOBS, TRACES, equals, exact_increase, series
from dashboards.rules.model import AlertRule, RuleGroup

# Counters of failures that a service survives, and the labels that name the part which failed.
_BACKGROUND: Final = (
    (service_metrics.BACKGROUND_FAILURES, ("loop",)),
    (service_metrics.COLLECTION_FAILURES, ("collector",)),
    (metrics.EXPORT_ERRORS, ("signal", "kind")),
)

_WRITES: Final = "3m"
"""Time in which a store writes to its object storage at least twice."""

_STORES_AND_FINDS: Final = f'{WORKLOAD}!~"{endpoints.TEMPO_BACKEND_SCHEDULER}|{endpoints.TEMPO_BACKEND_WORKER}"'
"""Without the parts of Tempo that compact and delete blocks: these may wait for a pod."""


def availability(config: MonitoringConfig) -> RuleGroup:
    """Return the alerts on services, stores, metrics and rules."""
    several = {**config.replicas, **config.monitoring_replicas}
    return RuleGroup(
        name="availability",
        rules=(
            *(_service_down(service) for service in config.services),
            *(_service_degraded(name, pods) for name, pods in several.items() if pods > 1),
            *((_crash_loop(), _dependency_down(), _background_failures()) if config.services else ()),
            *((_trace_store_down(),) if config.trace_store_scraped else ()),
            *((_log_store_down(config.monitoring_replicas.get(LOG_STORE_JOB, 1)),) if config.log_store_scraped else ()),
            *_object_storage_fails(config),
            *_metrics_missing(config),
            _samples_near_limit(),
            *((_rules_fail(),) if config.prometheus_scraped else ()),
            _watchdog(),
        ),
    )


def _pods_up(job: str) -> str:
    return series(metrics.UP, equals(JOB, job))


def _service_down(service: str) -> AlertRule:
    return AlertRule(
        name="ServiceDown",
        query=f"(sum({_pods_up(service)}) or vector(0)) == 0",
        for_="15s",
        severity="page",
        summary=f"No pod of {service} answers",
        description=f"Prometheus cannot scrape any pod of {service}.",
        dashboard="services",
        labels={JOB: service},
    )


def _service_degraded(service: str, pods: int) -> AlertRule:
    return AlertRule(
        name="ServiceDegraded",
        query=f"0 < sum({_pods_up(service)}) < {pods}",
        for_="5m",
        severity="ticket",
        summary=f"{{{{ $value }}}} of {pods} pods of {service} answer",
        description=f"Pods of {service} have been missing for longer than a rollout takes.",
        dashboard="services",
        labels={JOB: service},
    )


def _crash_loop() -> AlertRule:
    return AlertRule(
        name="CrashLoop",
        query=f"changes({series(metrics.PROCESS_START, SERVICE_JOBS)}[10m]) >= 2",
        for_="0s",
        severity="page",
        summary="{{ $labels.job }} ({{ $labels.instance }}) restarts again and again",
        description="It restarted {{ $value }} times within 10 minutes.",
        dashboard="services",
    )


def _dependency_down() -> AlertRule:
    return AlertRule(
        name="DependencyDown",
        query=f"max by ({JOB}, {DEPENDENCY}) ({series(service_metrics.DEPENDENCY_UP, SERVICE_JOBS)}) == 0",
        for_="15s",
        severity="page",
        summary="{{ $labels.job }} cannot reach {{ $labels.dependency }}",
        description="No pod of {{ $labels.job }} reaches {{ $labels.dependency }}. Accepted tasks and messages wait.",
        dashboard="services",
    )


def _trace_store_down() -> AlertRule:
    up = series(metrics.UP, equals(JOB, TRACE_STORE_JOB), _STORES_AND_FINDS)
    return AlertRule(
        name="TraceStoreDown",
        query=f"(min(max by ({WORKLOAD}) ({up})) or vector(0)) == 0",
        for_="15s",
        severity="page",
        summary="The trace store does not answer",
        description="No pod of it, or of one of its parts, answers. Spans wait in Kafka or in the Collectors' queues.",
        dashboard="tracing-pipeline",
        labels={JOB: TRACE_STORE_JOB},
    )


def _log_store_down(pods: int) -> AlertRule:
    # Several Lokis accept a line that most of them store.
    return AlertRule(
        name="LogStoreDown",
        query=f"(sum({_pods_up(LOG_STORE_JOB)}) or vector(0)) < {pods // 2 + 1}",
        for_="15s",
        severity="ticket",
        summary="The log store does not answer",
        description="Log lines wait in the Collectors' queues.",
        dashboard="tracing-pipeline",
        labels={JOB: LOG_STORE_JOB},
    )


def _object_storage_fails(config: MonitoringConfig) -> tuple[AlertRule, ...]:
    """Return the alert on what a store cannot write to its object storage, if a store uses some."""
    spans = series(metrics.STORE_RECEIVED_SPANS, equals(JOB, TRACE_STORE_JOB))
    blocks = series(metrics.STORE_WRITTEN_BLOCKS, equals(JOB, TRACE_STORE_JOB))
    failures = series(metrics.LOG_STORAGE_FAILURES, equals(JOB, LOG_STORE_JOB))
    queries = (
        # Tempo counts no failed write. A block builder writes a block a minute if there are spans.
        *(
            (
                f"(sum by ({JOB}) (increase({spans}[{_WRITES}] offset {_WRITES})) > 0"
                f" unless {exact_increase(blocks, _WRITES, JOB)} > 0)",
            )
            if config.trace_blocks
            else ()
        ),
        *((f"{exact_increase(failures, _WRITES, JOB)} > 0",) if config.log_chunks else ()),
    )
    if not queries:
        return ()
    return (
        AlertRule(
            name="ObjectStorageFails",
            query=" or ".join(queries),
            for_="1m",
            severity="ticket",
            summary="{{ $labels.job }} cannot write to the object storage",
            description="What it cannot write waits: spans in Kafka, log lines on Loki's volumes.",
            dashboard="tracing-pipeline",
        ),
    )


def _metrics_missing(config: MonitoringConfig) -> tuple[AlertRule, ...]:
    """Return an alert for each metric that other alerts need and that a process has from its first second."""
    services = config.services
    consumers = CONSUMER_GROUPS.values() if services else ()
    databases = (TASK_MANAGER,) if services else ()
    samplers = (endpoints.SAMPLER,) if config.tail_sampling else ()
    needed: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        *((service_metrics.DEPENDENCY_UP, service, ()) for service in services),
        *((metrics.SPANS_ENDED, service, (TRACES,)) for service in services),
        *((service_metrics.CONSUMER_PARTITIONS, service, ()) for service in consumers),
        *((metrics.DB_POOL_SIZE, service, ()) for service in databases),
        (metrics.SENDING_QUEUE_CAPACITY, endpoints.COLLECTOR, (OTLP_TRACES,)),
        (metrics.UP, SPAN_METRICS_JOB, ()),
        *((metrics.SENDING_QUEUE_CAPACITY, sampler, (OTLP_TRACES,)) for sampler in samplers),
    )
    return tuple(
        AlertRule(
            name="MetricsMissing",
            query=f"absent({series(metric, equals(JOB, job), *matchers)})",
            for_="2m",
            severity="page",
            summary=f"The metric {metric} of {job} is missing",
            description="Alerts that use it cannot fire. The pod does not run, cannot be scraped, or has another name.",
            dashboard="tracing-pipeline",
            labels={JOB: job, "metric": metric},
        )
        for metric, job, matchers in needed
    )


def _samples_near_limit() -> AlertRule:
    used = f"{metrics.SCRAPED_SAMPLES} / ({metrics.SAMPLE_LIMIT} > 0)"
    return AlertRule(
        name="SamplesNearLimit",
        query=f"max by ({JOB}, {INSTANCE}) ({used}) > 0.8",
        for_="1m",
        severity="ticket",
        summary="{{ $labels.job }} ({{ $labels.instance }}) has {{ $value | humanizePercentage }} of the samples that"
        " a scrape may have",
        description="Above the limit Prometheus rejects all metrics of the pod, and the pod counts as down.",
        dashboard="tracing-pipeline",
    )


def _background_failures() -> AlertRule:
    return AlertRule(
        name="BackgroundFailures",
        # At least three failures: these loops continue by themselves.
        query=" or ".join(
            f"{exact_increase(series(metric, SERVICE_JOBS), '5m', JOB, *parts)} >= 3" for metric, parts in _BACKGROUND
        ),
        for_="0s",
        severity="ticket",
        summary="Background work of {{ $labels.job }} fails",
        description="{{ $value | humanize }} unexpected failures within 5 minutes. The service continues to work.",
        dashboard="services",
    )


def _rules_fail() -> AlertRule:
    return AlertRule(
        name="RulesFail",
        query=f"increase({metrics.RULE_FAILURES}[5m]) > 0",
        for_="1m",
        severity="page",
        summary="Prometheus cannot evaluate its rules",
        description="{{ $value | humanize }} failures of {{ $labels.rule_group }} within 5 minutes.",
        dashboard="tracing-pipeline",
    )


def _watchdog() -> AlertRule:
    return AlertRule(
        name="Watchdog",
        query="vector(1)",
        for_="0s",
        severity="none",
        summary="Alerting works",
        description="Dead man's switch: this alert always fires. The receiver raises the alarm when it stops arriving.",
        dashboard="tracing-pipeline",
    )
