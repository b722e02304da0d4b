"""The real Collector as a process of this machine, with the configuration that the stack gives it."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import grpc

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from collector.pipeline import QUEUE_DIRECTORY, TOKEN_DIRECTORY, TOKEN_FILE
from contracts import endpoints
from contracts.errors import UserError
from lean_tracing.otlp_exporter import TRACES
from local.paths import Home

TOKEN = "a-token-for-tests"
_PORTS = (
    endpoints.OTLP_GRPC_PORT,
    endpoints.OTLP_HTTP_PORT,
    endpoints.COLLECTOR_TELEMETRY_PORT,
    endpoints.COLLECTOR_SPAN_METRICS_PORT,
    endpoints.COLLECTOR_HEALTH_PORT,
)


class MissingProgram(UserError):
    """A program that a check or a test starts is not on this machine; the message says how to get it."""


def built_program(name: str, image: str) -> Path:
    """Returns a program that `make up` built, or the one on PATH.

    Args:
        name: of the program.
        image: whose build makes it.

    Raises:
        MissingProgram: there is none.
    """
    built = Home.default().bin / name
    if built.is_file():
        return built
    if path := shutil.which(name):
        return Path(path)
    raise MissingProgram(f"no {name} to run: `./wct images build {image}` builds it, and so does `make up`")


def binary() -> Path:
    """Returns the Collector that `make up` built, or the one on PATH.

    Raises:
        MissingProgram: there is none.
    """
    return built_program("otelcol-contrib", "collector")


def require_own_distribution() -> None:
    """Checks that `binary()` is the project's distribution.

    Raises:
        MissingProgram: it is another one, or an older one without the processor that redacts.
    """
    listed = subprocess.run([binary(), "components"], capture_output=True, text=True, check=True).stdout
    if "lean_redaction" not in listed:
        raise MissingProgram("this Collector lacks the project's processor: `./wct images build collector` builds it")


class CollectorProcess(ServerProcess):
    """One Collector as a process; its queue survives a kill."""

    def __init__(self, directory: Path, text: str, environment: Mapping[str, str] = {}) -> None:
        """`text` is a configuration as `collector.pipeline` renders it; only ports and paths become this machine's."""
        program, file = binary(), directory / "config.yaml"
        self._ports = {port: free_port() for port in _PORTS}
        directory.mkdir(exist_ok=True)
        self.token_file = directory / TOKEN_FILE
        self.token_file.write_text(f"{TOKEN}\n")
        text = text.replace(QUEUE_DIRECTORY, str(directory / "queue")).replace(TOKEN_DIRECTORY, str(directory))
        for port, free in self._ports.items():
            text = re.sub(rf"(0\.0\.0\.0|127\.0\.0\.1):{port}\b", f"127.0.0.1:{free}", text)
        text = text.replace("host: 0.0.0.0", "host: 127.0.0.1")
        text = re.sub(rf"port: {endpoints.COLLECTOR_TELEMETRY_PORT}\b", f"port: {self.telemetry}", text)
        file.write_text(text)
        health = self.health
        super().__init__("collector", [program, f"--config={file}"], directory, lambda: answers(health), environment)

    @property
    def health(self) -> str:
        """URL of its health."""
        return f"http://127.0.0.1:{self._ports[endpoints.COLLECTOR_HEALTH_PORT]}/"

    @property
    def telemetry(self) -> int:
        """Port of its own metrics."""
        return self._ports[endpoints.COLLECTOR_TELEMETRY_PORT]

    @property
    def span_metrics_port(self) -> int:
        """Port of its span metrics."""
        return self._ports[endpoints.COLLECTOR_SPAN_METRICS_PORT]

    @property
    def grpc(self) -> str:
        """host:port of OTLP over gRPC."""
        return f"127.0.0.1:{self._ports[endpoints.OTLP_GRPC_PORT]}"

    @property
    def http(self) -> str:
        """URL of OTLP over HTTP."""
        return f"http://127.0.0.1:{self._ports[endpoints.OTLP_HTTP_PORT]}"

    def send(self, request: bytes, *, token: str = TOKEN, timeout: float = 10) -> None:
        """Sends spans; raises grpc.RpcError if they are not acknowledged."""
        with grpc.insecure_channel(self.grpc) as channel:
            metadata = (("authorization", f"Bearer {token}"),)
            channel.unary_unary(TRACES)(request, timeout=timeout, metadata=metadata)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of one of its own metrics over all series with these labels."""
        text = CLIENT.get(f"http://127.0.0.1:{self.telemetry}/metrics", timeout=5).text
        samples = re.findall(rf"^{name}(?:{{([^}}]*)}})? (\S+)$", text, re.MULTILINE)
        pairs = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(value) for labels_text, value in samples if all(pair in labels_text for pair in pairs))

    def span_metrics(self) -> str:
        """The span metrics with their exemplars, as Prometheus scrapes them."""
        url = f"http://127.0.0.1:{self.span_metrics_port}/metrics"
        return CLIENT.get(url, headers={"Accept": "application/openmetrics-text"}, timeout=30).text
