"""All three services in this process: real HTTP, Kafka's real protocol, SQLite."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from checks.coverage.agent_client import run_in_process
from checks.coverage.ledger import Outcome
from checks.coverage.operations import RunState
from checks.coverage.plan import Plan
from checks.coverage.run import Run
from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from contracts.access import STACK_CALLER, owner_of_key
from lean_tracing.asgi import App
from lean_tracing.testing import Recorder
from service.common.config import ServiceSettings
from service.crawler import bootstrap as crawler
from service.crawler.config import CrawlerSettings
from service.gateway import bootstrap as gateway
from service.gateway.config import GatewaySettings
from service.task_manager import bootstrap as task_manager
from service.task_manager.config import TaskManagerSettings
from stack.clients.traces import Span
from stack.components.encryption.proxy.config import ProxiedPort
from stack.polling import poll_until
from tests.support.proxied import ADDRESS, AUTHORITY, proxy
from tests.support.serving import served

_SERVICE_TOKEN: Final = "token-of-the-gateway-0123456789abcdef"


@dataclass(frozen=True)
class MemoryStore:
    """The services' recorders as a trace store; leaves out the spans for which `lost` is true."""

    recorders: dict[str, Recorder]
    lost: Callable[[Span], bool] = lambda span: False

    def trace(self, trace_id: str) -> list[Span]:
        number = int(trace_id or "0", 16)
        spans = [
            _span(service, span)
            for service, recorder in self.recorders.items()
            for span in recorder.spans()
            if span.context.trace_id == number
        ]
        return [span for span in spans if not self.lost(span)]


def _span(service: str, span: ReadableSpan) -> Span:
    return Span(
        span_id=f"{span.context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else "",
        service=service,
        name=span.name,
        kind=span.kind.name,
        start=span.start_time or 0,
        end=span.end_time or 0,
        error=span.status.status_code is StatusCode.ERROR,
    )


@contextmanager
def _served(app: App, settings: ServiceSettings) -> Iterator[str]:
    with served(app, settings) as url:
        poll_until(f"readiness of {url}", partial(_ready, url))
        yield url


def _ready(url: str) -> bool:
    return CLIENT.get(f"{url}/api/health/ready").is_success


@dataclass(frozen=True)
class System:
    """The services, running."""

    urls: dict[str, str]
    """Service → URL."""
    database: str
    kafka: Mapping[str, str]
    """The services' variables of Kafka."""
    recorders: dict[str, Recorder]
    key: str = ""
    """API key for the gateway; empty if access control is off."""

    def cover(
        self, operations: int, malformed: int, *, store: MemoryStore | None = None, trace_seconds: float = 20.0
    ) -> Outcome:
        """A run of the ledger."""
        owner = owner_of_key(STACK_CALLER) if self.key else None
        state = RunState(page_base=self.urls["gateway"], rng=Random(operations), owner=owner)
        environment = {**os.environ, **self.kafka, "DATABASE_URL": self.database}
        with run_in_process(environment) as agent:
            return Run(
                gateway=self.urls["gateway"],
                key=self.key,
                agent=agent,
                store=store or MemoryStore(self.recorders),
                plan=Plan(operations, malformed, state),
                state=state,
                trace_seconds=trace_seconds,
            ).run()


@contextmanager
def running_system(
    kafka: Mapping[str, str],
    make_recorder: Callable[[str], Recorder],
    directory: Path,
    key: str = "",
    *,
    encrypted: bool = False,
) -> Iterator[System]:
    """The three services on ports of this machine.

    Args:
        kafka: their variables of Kafka.
        make_recorder: makes what records the spans of a service.
        directory: of their database.
        key: API key of the stack's own programs, which turns access control on.
        encrypted: whether the services call each other by TLS, through proxies.
    """
    database = f"sqlite:///{directory / 'tasks.db'}"
    ports = {name: free_port() for name in ("gateway", "task-manager", "web-crawler")}
    recorders = {name: make_recorder(name) for name in ports}
    environment = {
        "HOST": "127.0.0.1",
        **kafka,
        "KAFKA_TOPIC_PARTITIONS": "1",
        "DATABASE_URL": database,
        "TASK_MANAGER_URL": f"http://127.0.0.1:{ports['task-manager']}",
        # The page that is crawled is the gateway's own.
        "CRAWLER_ALLOWED_HOSTS": f"127.0.0.1:{ports['gateway']}",
        **({"ACCESS_CONTROL": "true", "STACK_KEY": key, "SERVICE_TOKEN": _SERVICE_TOKEN} if key else {}),
        **(_encrypted(ports) if encrypted else {}),
    }
    at_gateway = GatewaySettings.from_env({**environment, "PORT": str(ports["gateway"])})
    at_manager = TaskManagerSettings.from_env({**environment, "PORT": str(ports["task-manager"])})
    at_crawler = CrawlerSettings.from_env({**environment, "PORT": str(ports["web-crawler"])})
    with ExitStack() as running:
        applications = {
            "gateway": (gateway.build(at_gateway, recorders["gateway"].tracing), at_gateway),
            "task-manager": (task_manager.build(at_manager, recorders["task-manager"].tracing), at_manager),
            "web-crawler": (crawler.build(at_crawler, recorders["web-crawler"].tracing), at_crawler),
        }
        urls = {name: running.enter_context(_served(*application)) for name, application in applications.items()}
        if encrypted:
            called = [ProxiedPort(number=ports[name], needs_token=False) for name in ("gateway", "task-manager")]
            running.enter_context(proxy(directory, called))
        yield System(urls, database, kafka, recorders, key)


def _encrypted(ports: Mapping[str, int]) -> dict[str, str]:
    """The variables of services that call each other through proxies."""
    return {
        "TASK_MANAGER_URL": f"https://{ADDRESS}:{ports['task-manager']}",
        "TASK_MANAGER_CA": AUTHORITY.certificate,
        "CRAWLER_CA": AUTHORITY.certificate,
        "CRAWLER_ALLOWED_HOSTS": f"{ADDRESS}:{ports['gateway']}",
    }
