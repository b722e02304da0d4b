"""The coverage check on all three services in this process: real HTTP, Kafka's real protocol, SQLite."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from checks.coverage.agent_client import run_in_process
from checks.coverage.ledger import Outcome, describe
from checks.coverage.operations import RunState
from checks.coverage.plan import Plan
from checks.coverage.run import Run
from checks.harness.ports import free_port
from service.common.config import ServiceSettings
from service.crawler import bootstrap as crawler
from service.crawler.config import CrawlerSettings
from service.gateway import bootstrap as gateway
from service.gateway.config import GatewaySettings
from service.task_manager import bootstrap as task_manager
from service.task_manager.config import TaskManagerSettings
from service.tracing.asgi import App
from stack.clients.traces import Span
from stack.polling import poll_until
from tests.support.service import Recorder, kafka, make_recorder
from tests.support.serving import served

__all__ = ["kafka", "make_recorder"]  # fixtures

OPERATIONS = 150


@dataclass(frozen=True)
class MemoryStore:
    """The services' recorders as a trace store; leaves out the spans for which `lost` is true."""

    recorders: dict[str, Recorder]
    lost: Callable[[Span], bool] = lambda span: False

    def trace(self, trace_id: str) -> list[Span]:
        """See `Store`."""
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
    return httpx.get(f"{url}/api/health/ready").is_success


@dataclass(frozen=True)
class System:
    """The services, running."""

    gateway: str
    database: str
    kafka: str
    recorders: dict[str, Recorder]

    def cover(
        self, operations: int, malformed: int, *, store: MemoryStore | None = None, trace_seconds: float = 20.0
    ) -> Outcome:
        """A run of the ledger."""
        state = RunState(page_base=self.gateway, rng=Random(operations))
        environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.kafka, "DATABASE_URL": self.database}
        with run_in_process(environment) as agent:
            return Run(
                gateway=self.gateway,
                agent=agent,
                store=store or MemoryStore(self.recorders),
                plan=Plan(operations, malformed, state),
                state=state,
                trace_seconds=trace_seconds,
            ).run()


@pytest.fixture(scope="module")
def system(
    kafka: str,
    make_recorder: Callable[[str], Recorder],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    database = f"sqlite:///{Path(tmp_path_factory.mktemp('database')) / 'tasks.db'}"
    ports = {name: free_port() for name in ("gateway", "task-manager", "web-crawler")}
    recorders = {name: make_recorder(name) for name in ports}
    environment = {
        "HOST": "127.0.0.1",
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_TOPIC_PARTITIONS": "1",
        "DATABASE_URL": database,
        "TASK_MANAGER_URL": f"http://127.0.0.1:{ports['task-manager']}",
        # The page that is crawled is the gateway's own.
        "CRAWLER_ALLOWED_HOSTS": f"127.0.0.1:{ports['gateway']}",
    }
    at_gateway = GatewaySettings.from_env({**environment, "PORT": str(ports["gateway"])})
    at_manager = TaskManagerSettings.from_env({**environment, "PORT": str(ports["task-manager"])})
    at_crawler = CrawlerSettings.from_env({**environment, "PORT": str(ports["web-crawler"])})
    with ExitStack() as running:
        url = running.enter_context(_served(gateway.build(at_gateway, recorders["gateway"].tracing), at_gateway))
        running.enter_context(_served(task_manager.build(at_manager, recorders["task-manager"].tracing), at_manager))
        running.enter_context(_served(crawler.build(at_crawler, recorders["web-crawler"].tracing), at_crawler))
        yield System(url, database, kafka, recorders)


def test_every_operation_has_its_complete_trace(system: System) -> None:
    outcome = system.cover(OPERATIONS, OPERATIONS // 3)
    assert len(outcome.entries) == OPERATIONS
    assert not outcome.failed, "\n".join(describe(outcome.failed))
    assert outcome.percent == 100.0
    assert sum(entry.operation.malformed for entry in outcome.entries) == OPERATIONS // 3


def test_a_span_that_the_store_lost_is_named(system: System) -> None:
    store = MemoryStore(system.recorders, lost=lambda span: span.name == "send requests-web-crawl")
    outcome = system.cover(12, 0, store=store, trace_seconds=1.5)
    lacking = [entry for entry in outcome.entries if entry.operation.kind in ("create", "message new")]
    assert lacking
    for entry in lacking:
        assert not entry.is_covered
        assert (
            "missing: task-manager PRODUCER 'send requests-web-crawl' below task-manager CONSUMER" in entry.problems()
        )
        assert (
            "web-crawler CONSUMER 'process requests-web-crawl' has a parent that is not in the trace"
            in entry.problems()
        )
    assert any(str(lacking[0].operation.trace_id) in line for line in describe(outcome.failed))
    assert outcome.percent < 100
