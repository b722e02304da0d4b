"""The one place where the gateway is wired."""

from __future__ import annotations

import httpx

from contracts import http
from contracts.services import GATEWAY, TASK_MANAGER
from contracts.topics import STATUS_TOPIC
from service.common.application import build_application
from service.common.health import Dependency, Health
from service.common.kafka.publisher import KafkaPublisher
from service.common.metrics import Metrics
from service.common.submission import submission_router
from service.gateway.api import TaskReader, gateway_router
from service.gateway.config import GatewaySettings
from service.tracing import Tracing
from service.tracing.asgi import App


def build(settings: GatewaySettings, tracing: Tracing) -> App:
    """The gateway as an ASGI application; connects to nothing before it starts."""
    traces = tracing.traces
    metrics = Metrics(settings.stored_traces)
    publisher = KafkaPublisher(settings, traces, metrics, client_id=GATEWAY, topics=(STATUS_TOPIC,))

    def task_manager_lives() -> None:
        httpx.get(f"{settings.task_manager_url}{http.LIVE}", timeout=2.0).raise_for_status()

    health = Health(
        [
            # Tasks can be read while it is away, and who submits one is told to come again.
            Dependency(name="kafka", check=publisher.check, at_first=True),
            # Submitting works without it, so it takes no gateway out of service.
            Dependency(name=TASK_MANAGER, check=task_manager_lives, required=False),
        ],
        traces,
        metrics,
        alive=lambda: publisher.alive,
    )
    reader = TaskReader(settings.task_manager_url, traces)
    return build_application(
        title="Gateway",
        routers=[submission_router(publisher.publish_async, tracing.redactor), gateway_router(reader), health.router()],
        metrics=metrics,
        parts=[publisher, health],
        tracing=tracing,
        close=reader.close,
    )
