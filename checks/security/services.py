"""Gateway and task-manager with access control, as processes of this machine; all that they send is kept."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from confluent_kafka import Producer

from checks.harness.ports import free_port
from checks.harness.receiver import Receiver, receiving
from checks.harness.server import ServerProcess, answers
from checks.security.issuer import AUDIENCE, Issuer
from contracts.access import Role
from contracts.http import READY
from contracts.services import GATEWAY, TASK_MANAGER
from service.common.access import digest
from service.gateway.access.keys import ApiKey

ROOT: Final = Path(__file__).resolve().parents[2]
STACK_KEY: Final = "wct_of-the-stack-0123456789abcdefghijklmnopqrstuvwx"
KEYS: Final = {
    Role.USER: "wct_of-a-user-0123456789abcdefghijklmnopqrstuvwxyz0",
    Role.OPERATOR: "wct_of-an-operator-0123456789abcdefghijklmnopqrstuv",
    Role.SUPPORT: "wct_of-the-support-0123456789abcdefghijklmnopqrstuv",
}
SERVICE_TOKEN: Final = "token-of-the-gateway-0123456789abcdef"


@dataclass(frozen=True, kw_only=True)
class Services:
    """The running services."""

    gateway: str
    """URL."""
    task_manager: str
    brokers: str
    """Addresses of the Kafka brokers."""
    receiver: Receiver
    """Has the bytes of all traces and logs that they exported."""
    processes: tuple[ServerProcess, ...]

    @property
    def log(self) -> str:
        """What they wrote to their standard output."""
        return "\n".join(process.log for process in self.processes)

    def take_exported(self) -> bytes:
        """Return what they have exported since the last call, and forget it."""
        taken = [requests.pop() for requests in self.receiver.requests.values() for _ in requests[:]]
        return b"\n".join(taken)

    def exported(self) -> bytes:
        """Return all that they have exported."""
        return b"\n".join(request for requests in self.receiver.requests.values() for request in list(requests))


@contextmanager
def running_services(
    issuer: Issuer, *, limits: tuple[int, int, int] = (1_000_000, 100_000, 1000)
) -> Iterator[Services]:
    """Run gateway and task-manager.

    Args:
        issuer: whose tokens the gateway accepts.
        limits: requests a minute, burst and concurrent requests of a caller.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="security-")))
        receiver = stack.enter_context(receiving())
        ports = {name: free_port() for name in (GATEWAY, TASK_MANAGER)}
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        brokers = stack.enter_context(_brokers())
        common = {
            "HOST": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": brokers,
            "KAFKA_TOPIC_PARTITIONS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_LOGS_EXPORTER": "otlp",
            "TRACING_HASH_KEY": "a key of the check",
            "TRACING_DELAY_MS": "100",
            "ACCESS_CONTROL": "true",
            "SERVICE_TOKEN": SERVICE_TOKEN,
        }
        requests_per_minute, burst, concurrent = limits
        own = {
            GATEWAY: {
                "TASK_MANAGER_URL": urls[TASK_MANAGER],
                "STACK_KEY": STACK_KEY,
                "ACCESS_API_KEYS": ",".join(str(ApiKey(f"a-{role}", role, digest(key))) for role, key in KEYS.items()),
                "ACCESS_ISSUER": issuer.url,
                "ACCESS_AUDIENCE": AUDIENCE,
                "ACCESS_JWKS_URL": issuer.keys_url,
                "ACCESS_REQUESTS_PER_MINUTE": str(requests_per_minute),
                "ACCESS_BURST": str(burst),
                "ACCESS_CONCURRENT_REQUESTS": str(concurrent),
            },
            TASK_MANAGER: {"DATABASE_URL": f"sqlite:///{directory / 'tasks.db'}"},
        }
        processes = [_process(name, directory, urls[name], common | own[name], ports[name]) for name in own]
        for process in processes:
            stack.callback(process.kill)
            process.start()
        yield Services(
            gateway=urls[GATEWAY],
            task_manager=urls[TASK_MANAGER],
            brokers=brokers,
            receiver=receiver,
            processes=tuple(processes),
        )
        for process in processes:
            process.stop()


def _process(name: str, directory: Path, url: str, environment: dict[str, str], port: int) -> ServerProcess:
    module = f"service.{name.replace('-', '_')}"
    return ServerProcess(
        name,
        [sys.executable, "-m", module],
        directory,
        is_ready=lambda: answers(f"{url}{READY}"),
        environment=environment | {"PORT": str(port)},
    )


@contextmanager
def _brokers() -> Iterator[str]:
    """Run librdkafka's mock brokers in this process."""
    owner = Producer({"bootstrap.servers": "replaced:9092", "test.mock.num.brokers": 1, "log_level": 0})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    owner.flush(0)
