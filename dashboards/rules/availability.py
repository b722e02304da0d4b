"""Who is there: services, what they depend on, and the metrics that all other alerts are made of."""

from typing import Final

from contracts import endpoints
from dashboards.queries import CONSUMERS, OF_SERVICES, grown
from dashboards.rules.model import AlertRule, RuleGroup
from stack.settings import Settings

# Counters of failures that a service survives, and the label that says what failed.
_BACKGROUND: Final = (
    ("background_loop_failures_total", "loop"),
    ("metrics_collection_failures_total", "collector"),
    ("tracing_export_errors_total", "signal, kind"),
)


def availability(settings: Settings) -> tuple[RuleGroup, ...]:
    """Services and stores that do not answer, and metrics that are missing: silence is no good news."""
    replicas = {
        endpoints.GATEWAY: settings.services.gateway.replicas,
        endpoints.TASK_MANAGER: settings.services.task_manager.replicas,
        endpoints.CRAWLER: settings.services.crawler.replicas,
    }
    return (
        RuleGroup(
            name="availability",
            rules=(
                *(_down(name) for name in endpoints.SERVICES),
                *(_fewer(name, wanted) for name, wanted in replicas.items() if wanted > 1),
                AlertRule(
                    name="CrashLoop",
                    query=f"changes(process_start_time_seconds{{{OF_SERVICES}}}[10m]) >= 2",
                    for_="0s",
                    severity="page",
                    summary="{{ $labels.job }} ({{ $labels.instance }}) begins anew again and again",
                    description="It ended {{ $value }} times within ten minutes.",
                    dashboard="services",
                ),
                AlertRule(
                    name="DependencyDown",
                    query=f"max by (job, dependency) (dependency_up{{{OF_SERVICES}}}) == 0",
                    for_="15s",
                    severity="page",
                    summary="{{ $labels.job }} cannot use {{ $labels.dependency }}",
                    description="None of its pods reaches {{ $labels.dependency }}; what was accepted waits.",
                    dashboard="services",
                ),
                _store("TraceStoreDown", "trace-store", "traces", "Spans wait in the Collectors' queues."),
                *(
                    (_store("LogStoreDown", "log-store", "logs", "Lines wait in the Collectors' queues."),)
                    if settings.logs.enabled
                    else ()
                ),
                *_missing(settings),
                AlertRule(
                    name="SamplesNearLimit",
                    query="max by (job, instance) (scrape_samples_post_metric_relabeling / (scrape_sample_limit > 0))"
                    " > 0.8",
                    for_="1m",
                    severity="ticket",
                    summary="{{ $labels.job }} ({{ $labels.instance }}) has {{ $value | humanizePercentage }} of the"
                    " samples that it may have",
                    description="Over its limit Prometheus refuses all of its metrics, and it counts as down.",
                    dashboard="tracing",
                ),
                AlertRule(
                    name="BackgroundFailures",
                    # Three at least: these loops go on by themselves after a failure.
                    query=" or ".join(
                        f"{grown(f'{metric}{{{OF_SERVICES}}}', '5m', f'job, {part}')} >= 3"
                        for metric, part in _BACKGROUND
                    ),
                    for_="0s",
                    severity="ticket",
                    summary="Work in the background of {{ $labels.job }} fails",
                    description="{{ $value | humanize }} unexpected failures within five minutes. The service goes on.",
                    dashboard="services",
                ),
                AlertRule(
                    name="RulesFail",
                    query="increase(prometheus_rule_evaluation_failures_total[5m]) > 0",
                    for_="1m",
                    severity="page",
                    summary="Prometheus cannot evaluate its rules",
                    description="{{ $value | humanize }} failures of {{ $labels.rule_group }} within five minutes.",
                    dashboard="tracing",
                ),
                AlertRule(
                    name="Watchdog",
                    query="vector(1)",
                    for_="0s",
                    severity="none",
                    summary="Alerts arrive",
                    description="Always there: whoever expects it and does not get it knows that alerting is broken.",
                    dashboard="tracing",
                ),
            ),
        ),
    )


def _down(service: str) -> AlertRule:
    return AlertRule(
        name="ServiceDown",
        query=f'(sum(up{{job="{service}"}}) or vector(0)) == 0',
        for_="15s",
        severity="page",
        summary=f"No pod of {service} answers",
        description=f"Prometheus reaches none of the pods of {service}.",
        dashboard="services",
        labels={"job": service},
    )


def _fewer(service: str, wanted: int) -> AlertRule:
    return AlertRule(
        name="ServiceDegraded",
        query=f'0 < sum(up{{job="{service}"}}) < {wanted}',
        for_="5m",
        severity="ticket",
        summary=f"{{{{ $value }}}} of {wanted} pods of {service} answer",
        description=f"Less of {service} than was asked for, for longer than a rollout takes.",
        dashboard="services",
        labels={"job": service},
    )


def _store(name: str, job: str, what: str, consequence: str) -> AlertRule:
    return AlertRule(
        name=name,
        query=f'(min(up{{job="{job}"}}) or vector(0)) == 0',
        for_="15s",
        severity="page" if what == "traces" else "ticket",
        summary=f"The store of the {what} does not answer",
        description=consequence,
        dashboard="tracing",
        labels={"job": job},
    )


def _missing(settings: Settings) -> tuple[AlertRule, ...]:
    """For each metric that other alerts look at and that is there from a process' first second."""
    wanted = [
        *(("dependency_up", name, "") for name in endpoints.SERVICES),
        *(("tracing_items_ended_total", name, 'signal="traces"') for name in endpoints.SERVICES),
        *(("kafka_consumer_partitions", name, "") for name in CONSUMERS),
        ("db_client_connection_pool_size", endpoints.TASK_MANAGER, ""),
        ("otelcol_exporter_queue_capacity", "collector", 'data_type="traces"'),
        ("up", "span-metrics", ""),
        *(
            [("otelcol_exporter_queue_capacity", "sampler", 'data_type="traces"')]
            if settings.collector.sampling
            else []
        ),
    ]
    return tuple(
        AlertRule(
            name="MetricsMissing",
            query=f'absent({metric}{{job="{job}"{f",{more}" if more else ""}}})',
            for_="2m",
            severity="page",
            summary=f"{metric} of {job} is missing",
            description="Alerts that look at it cannot fire. The pod is away, cannot be scraped, or has another name.",
            dashboard="tracing",
            labels={"job": job, "metric": metric},
        )
        for metric, job, more in wanted
    )
