"""A service in its own process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from checks.harness.http import CLIENT
from checks.harness.ports import free_port

ROOT = Path(__file__).parents[2]
NOWHERE = "127.0.0.1:1"
"""An address where no program listens."""


def service_environment(**values: str) -> dict[str, str]:
    """The environment of a service none of whose dependencies answer, with `values` instead of some of it."""
    unavailable = {
        "HOST": "127.0.0.1",
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "KAFKA_PUBLISH_TIMEOUT_MS": "200",
        "DATABASE_URL": f"postgresql+psycopg://a:hunter2@{NOWHERE}/x",
        "TASK_MANAGER_URL": f"http://{NOWHERE}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{NOWHERE}",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TRACING_"))}
    return inherited | unavailable | values


@contextmanager
def service_process(module: str, output: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """(process, URL) of a service, which is killed when the block ends."""
    port = free_port()
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"service.{module}"],
            env=service_environment(PORT=str(port), **environment),
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def http_status(url: str) -> int:
    """The status of GET `url`; 0 without an answer."""
    try:
        return CLIENT.get(url).status_code
    except httpx.TransportError:
        return 0


def answers(url: str) -> bool:
    """Whether GET `url` gets any answer."""
    return http_status(url) != 0
