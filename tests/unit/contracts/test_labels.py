"""The labels of the services' metrics, and the values of these labels, are those of the registry."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from sqlalchemy import QueuePool, create_engine

from contracts import endpoints, service_metrics, services, topics
from contracts.tasks import TaskStatus
from contracts.telemetry import load_registry
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.sqlalchemy import instrument_engine
from lean_tracing.testing import Recorder
from service.common.metrics import Metrics
from service.task_manager.telemetry import TaskCounts, TelemetryObserver
from service.task_manager.use_cases import Outcome, UseCase
from stack.components.prometheus.config import prometheus_config
from stack.settings import load
from stack.settings.scraping import scraping
from tests.support.fakes import FakeTaskManager

REGISTRY = load_registry()


def labels(registry: Any) -> dict[str, tuple[str, ...]]:
    """Return the labels of each metric of a Prometheus registry, by the metric's name."""
    collectors = registry._names_to_collectors.items()
    made = {name: getattr(collector, "_collector", collector) for name, collector in collectors}
    return {name: made[name]._labelnames for name in REGISTRY.metrics if hasattr(made.get(name), "_labelnames")}


def declared(name: str) -> set[str]:
    return set(REGISTRY.metrics[name].labels) - {"le"}


def test_the_metrics_of_every_service_have_the_labels_of_the_registry() -> None:
    names_by_metric = labels(Metrics().registry)
    assert {service_metrics.HTTP_REQUESTS, service_metrics.MESSAGES_CONSUMED} <= names_by_metric.keys()
    for name, names in names_by_metric.items():
        assert set(names) == declared(name), name


def test_the_metrics_of_tasks_have_the_labels_of_the_registry(recorder: Recorder) -> None:
    registry = CollectorRegistry()
    TelemetryObserver(recorder.traces, registry)
    names_by_metric = labels(registry)
    assert names_by_metric.keys() == {service_metrics.TASK_OPERATIONS, service_metrics.TASK_DURATION}
    for name, names in names_by_metric.items():
        assert set(names) == declared(name), name


@pytest.mark.parametrize(
    ("metric", "label", "values"),
    [
        (
            service_metrics.MESSAGES_PRODUCED,
            "outcome",
            {service_metrics.OUTCOME_SUCCESS, service_metrics.OUTCOME_FAILURE},
        ),
        (
            service_metrics.MESSAGES_CONSUMED,
            "outcome",
            {
                *Outcome,
                TaskStatus.COMPLETED,
                TaskStatus.ERROR,
                service_metrics.OUTCOME_RETRIED,
                service_metrics.OUTCOME_DEAD_LETTER,
            },
        ),
        (service_metrics.TASK_OPERATIONS, "outcome", {*Outcome, service_metrics.OUTCOME_FAILURE}),
        (service_metrics.TASK_OPERATIONS, "operation", set(UseCase)),
        (
            service_metrics.CRAWLED_PAGES,
            "outcome",
            {TaskStatus.COMPLETED, TaskStatus.ERROR, service_metrics.OUTCOME_FAILED},
        ),
        (service_metrics.TASK_DURATION, "status", {Outcome.COMPLETED, Outcome.FAILED}),
        (service_metrics.TASKS, "status", set(TaskStatus)),
    ],
)
def test_the_values_of_a_label_are_those_of_the_code(metric: str, label: str, values: set[str]) -> None:
    (series, *_) = REGISTRY.metrics[metric].series
    assert REGISTRY.values_of(series, label) == {str(value) for value in values}


def collected(metric: str, label: str, collector: Collector) -> frozenset[str]:
    """Return the values of a label in the samples of a metric."""
    samples = (sample for family in collector.collect() for sample in family.samples)
    return frozenset(sample.labels[label] for sample in samples if sample.name in REGISTRY.metrics[metric].series)


def test_the_windows_and_states_are_those_that_the_task_manager_serves(recorder: Recorder) -> None:
    counts = TaskCounts(FakeTaskManager().cases)
    assert collected(service_metrics.TASKS, "window", counts) == REGISTRY.members["window"]
    pool = instrument_engine(create_engine("sqlite://", poolclass=QueuePool), recorder.traces)
    declared_states = REGISTRY.values_of("db_client_connection_count", "state")
    assert collected("db_client_connection_count", "state", pool) == declared_states == {"used", "idle"}


def test_the_signals_are_those_that_a_service_exports() -> None:
    unused = {
        "OTEL_SERVICE_NAME": "any",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_LOGS_EXPORTER": "otlp",
    }
    tracing = start_tracing(TracingSettings.model_validate(unused))
    try:
        signal_metrics = [name for name, metric in REGISTRY.metrics.items() if "signal" in metric.labels]
        values = [collected(name, "signal", tracing.statistics) for name in signal_metrics]
        assert frozenset().union(*values) == REGISTRY.members["signal"]
        assert len([each for each in values if each]) >= 10
    finally:
        tracing.shutdown()


def test_each_value_that_a_metric_names_is_a_value_of_its_label() -> None:
    for metric in REGISTRY.metrics.values():
        for label, values in metric.values.items():
            assert label in metric.labels, metric.name
            assert values <= REGISTRY.members.get(label, values), metric.name


def test_topics_are_those_of_the_code() -> None:
    names = {topic for group in topics.CONSUMER_GROUPS for topic in (group, topics.dead_letter_topic(group))}
    assert REGISTRY.members["topic"] == names


def test_the_scrape_jobs_of_all_stacks_are_the_values_of_the_label_job() -> None:
    stacks = [load(stack) for stack in ("local", "dev", "staging", "prod")]
    jobs = {job["job_name"] for settings in stacks for job in prometheus_config(scraping(settings))["scrape_configs"]}
    assert jobs | {endpoints.GRAFANA_PUBLISHER} == REGISTRY.members["job"], "no stack file has an external Grafana"
    assert set(services.SERVICES) <= jobs
