"""Runs the services, with SQLite instead of Postgres and librdkafka's mock brokers instead of Kafka."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from confluent_kafka import KafkaException, Producer
from opentelemetry.sdk.trace.export import SpanExporter
from pydantic import SecretStr

from contracts import http, service_metrics
from contracts.services import CRAWLER, GATEWAY, SERVICES, TASK_MANAGER
from contracts.span_attributes import PREFIX
from contracts.topics import CONSUMER_GROUPS
from lean_tracing import Tracing, TracingSettings, start_tracing
from service.common.server import Server, build_server
from service.crawler import bootstrap as crawler
from service.crawler.config import CrawlerSettings
from service.gateway import bootstrap as gateway
from service.gateway.config import GatewaySettings
from service.task_manager import bootstrap as task_manager
from service.task_manager.config import TaskManagerSettings

HOST: Final = "127.0.0.1"
# A developer's own pages are served on this machine.
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 25.0


class NotStarted(Exception):
    """The services could not be started. The text names the reason and what to do."""


@dataclass(frozen=True, kw_only=True)
class System:
    """The running services."""

    urls: Mapping[str, str]
    """By the name of the service."""

    @property
    def gateway(self) -> str:
        """URL of the gateway."""
        return self.urls[GATEWAY]


@contextmanager
def running(
    first_port: int, database: Path, exporter: Callable[[str], SpanExporter], stop: threading.Event
) -> Iterator[System]:
    """Runs all services, ready for work, until the block ends; by then their last spans are exported.

    Args:
        first_port: The gateway's port; the other services use the next ones. 0: any free ports.
        database: The SQLite file of the tasks.
        exporter: Makes the span exporter of a service.
        stop: Set it to end the wait for readiness.

    Raises:
        NotStarted: A port is in use, a service ended, or the wait was ended.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(_listen(first_port and first_port + number)) for number in range(len(SERVICES))]
        ports = dict(zip(SERVICES, (listening.getsockname()[1] for listening in sockets), strict=True))
        urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
        common: dict[str, Any] = {"host": HOST, "kafka_bootstrap_servers": stack.enter_context(_brokers())}
        tracings = {
            name: start_tracing(
                # A fixed key, so that two runs make the same hashes; development has no secret to protect.
                TracingSettings(service_name=name, delay_ms=50, hash_key=SecretStr("development")),
                exporter=exporter(name),
                attribute_prefix=PREFIX,
            )
            for name in SERVICES
        }
        servers = _servers(ports, urls, common, database, tracings)
        threads = [
            threading.Thread(target=servers[name].run, args=([listening],), name=name, daemon=True)
            for name, listening in zip(SERVICES, sockets, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            _wait_until_ready(urls, threads, stop)
            yield System(urls=urls)
        finally:
            # In the order in which a request reaches them.
            for thread in threads:
                servers[thread.name].should_exit = True
                thread.join(_STOP_SECONDS)


def _servers(
    ports: dict[str, int], urls: dict[str, str], common: dict[str, Any], database: Path, tracings: dict[str, Tracing]
) -> dict[str, Server]:
    front = GatewaySettings(port=ports[GATEWAY], task_manager_url=urls[TASK_MANAGER], **common)
    manager = TaskManagerSettings(port=ports[TASK_MANAGER], database_url=SecretStr(f"sqlite:///{database}"), **common)
    fetcher = CrawlerSettings(port=ports[CRAWLER], allowed_networks=_LOOPBACK, **common)
    return {
        GATEWAY: build_server(gateway.build(front, tracings[GATEWAY]), front),
        TASK_MANAGER: build_server(task_manager.build(manager, tracings[TASK_MANAGER]), manager),
        CRAWLER: build_server(crawler.build(fetcher, tracings[CRAWLER]), fetcher),
    }


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise NotStarted(f"port {port} is not available ({error.strerror}); choose another one with --port") from None
    return listening


@contextmanager
def _brokers() -> Iterator[str]:
    owner = Producer({"bootstrap.servers": "replaced:9092", "test.mock.num.brokers": 1, "log_level": 0})
    try:
        brokers = owner.list_topics(timeout=10).brokers.values()
    except KafkaException as error:
        raise NotStarted(f"the mock brokers do not answer ({error.args[0].name()})") from None
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    owner.flush(0)


def _wait_until_ready(urls: dict[str, str], threads: Sequence[threading.Thread], stop: threading.Event) -> None:
    """Waits until each service is ready and the consumers have their partitions."""
    not_ready = set(urls)
    attempts = int(_START_SECONDS / 0.05)
    with httpx.Client(timeout=2.0) as client:
        for _ in range(attempts):
            not_ready -= {
                name for name in not_ready if _is_ready(client, urls[name], consumes=name in CONSUMER_GROUPS.values())
            }
            if not not_ready:
                return
            if stop.wait(0.05):
                raise NotStarted("interrupted")
            if ended := [thread.name for thread in threads if not thread.is_alive()]:
                raise NotStarted(f"{', '.join(ended)} ended at once; the log has the reason")
    raise NotStarted(f"not ready after {_START_SECONDS:g} s: {', '.join(sorted(not_ready))}; the log has the reason")


def _is_ready(client: httpx.Client, url: str, *, consumes: bool) -> bool:
    try:
        if not client.get(f"{url}{http.READY}").is_success:
            return False
        exposition = client.get(f"{url}{http.METRICS}").text if consumes else ""
    except httpx.TransportError:
        return False
    partitions = [
        line for line in exposition.splitlines() if line.startswith(f"{service_metrics.CONSUMER_PARTITIONS}{{")
    ]
    return not consumes or any(not line.endswith(" 0.0") for line in partitions)
