"""Builds the task-manager from its parts."""

from contracts.services import TASK_MANAGER
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic
from lean_tracing import Tracing
from lean_tracing.asgi import App
from service.common.access import OpenGuard
from service.common.application import build_application
from service.common.health import Dependency, Health
from service.common.kafka.consumer import ConsumerLoop
from service.common.kafka.publisher import KafkaPublisher
from service.common.metrics import Metrics
from service.common.submission import submission_router
from service.task_manager.access import GatewayOnly
from service.task_manager.api import task_router
from service.task_manager.config import TaskManagerSettings
from service.task_manager.kafka import CrawlRequests, StatusHandler
from service.task_manager.postgres import SqlUnitOfWork, build_engine
from service.task_manager.retention import Retention
from service.task_manager.telemetry import TaskCounts, TelemetryObserver
from service.task_manager.use_cases import Tasks


def build(settings: TaskManagerSettings, tracing: Tracing) -> App:
    """The task-manager as an ASGI application; it connects to nothing before it starts."""
    traces = tracing.traces
    metrics = Metrics(settings.stored_traces)
    publisher = KafkaPublisher(
        settings,
        traces,
        metrics,
        client_id=TASK_MANAGER,
        topics=(STATUS_TOPIC, CRAWL_TOPIC, dead_letter_topic(STATUS_TOPIC)),
    )
    database = SqlUnitOfWork(build_engine(settings.database_url.get_secret_value(), traces, metrics.registry))
    tasks = Tasks(database, CrawlRequests(publisher), TelemetryObserver(traces, metrics.registry, metrics.stored))
    metrics.registry.register(TaskCounts(tasks))
    retention = Retention(
        tasks,
        settings.retention,
        traces,
        metrics.registry,
        prepare=database.prepare,
        on_error=metrics.loop_failures.labels("retention").inc,
    )

    def prepare() -> None:
        database.ensure_schema()
        publisher.ensure_topics()

    handler = StatusHandler(tasks)
    consumer = ConsumerLoop(
        topic=STATUS_TOPIC,
        group=settings.consumer_group,
        settings=settings,
        traces=traces,
        metrics=metrics,
        publisher=publisher,
        handler=handler,
        prepare=prepare,
        abandon=handler.abandon,
    )
    health = Health(
        [Dependency(name="kafka", check=publisher.check), Dependency(name="postgres", check=database.check)],
        traces,
        metrics,
        alive=lambda: consumer.alive and publisher.alive,
    )
    guard = GatewayOnly(settings.service_tokens) if settings.access_control else OpenGuard()
    return build_application(
        title="Task manager",
        routers=[
            submission_router(publisher.publish_async, tracing.redactor, guard),
            task_router(tasks, guard),
            health.router(),
        ],
        metrics=metrics,
        parts=[database, publisher, consumer, health, retention],
        tracing=tracing,
    )
