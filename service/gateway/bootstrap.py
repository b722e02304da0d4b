"""Builds the gateway from its parts."""

import ssl
from typing import Final

import httpx

from contracts.services import GATEWAY, TASK_MANAGER
from contracts.topics import STATUS_TOPIC
from lean_tracing import Tracing
from lean_tracing.asgi import App
from lean_tracing.httpx import AsyncTracingTransport
from service.common.application import build_application
from service.common.health import Dependency, Health
from service.common.kafka.publisher import KafkaPublisher
from service.common.metrics import Metrics
from service.common.submission import submission_router
from service.gateway.access.build import build_guard
from service.gateway.api import TaskReader, demo_router, reading_router
from service.gateway.check import TaskManagerCheck
from service.gateway.config import GatewaySettings

_PROVIDER_SECONDS: Final = 3.0
"""The time that an identity provider has to answer."""


def build(settings: GatewaySettings, tracing: Tracing) -> App:
    """The gateway as an ASGI application; it connects to nothing before it starts."""
    traces = tracing.traces
    metrics = Metrics(settings.stored_traces)
    publisher = KafkaPublisher(settings, traces, metrics, client_id=GATEWAY, topics=(STATUS_TOPIC,))
    trust = ssl.create_default_context(cadata=settings.task_manager_ca)
    check_task_manager = TaskManagerCheck(settings.task_manager_url, trust)
    health = Health(
        [
            # Without Kafka tasks can still be read; a submission gets status 503 and Retry-After.
            Dependency(name="kafka", check=publisher.check, at_first=True),
            # Tasks can be submitted without it, so the gateway stays ready.
            Dependency(name=TASK_MANAGER, check=check_task_manager, required=False),
        ],
        traces,
        metrics,
        alive=lambda: publisher.alive,
    )
    token = settings.service_token.get_secret_value() if settings.access_control and settings.service_token else ""
    reader = TaskReader(settings.task_manager_url, traces, token, trust=trust)
    provider = httpx.AsyncClient(transport=AsyncTracingTransport(traces), timeout=_PROVIDER_SECONDS)
    guard = build_guard(settings, provider, metrics.registry)

    async def close() -> None:
        await reader.close()
        await provider.aclose()
        check_task_manager.close()

    return build_application(
        title="Gateway",
        routers=[
            submission_router(publisher.publish_async, tracing.redactor, guard),
            reading_router(reader, guard),
            demo_router(),
            health.router(),
        ],
        metrics=metrics,
        parts=[publisher, health],
        tracing=tracing,
        close=close,
    )
