"""The real Jaeger as a process of this machine, with the stack's configuration."""

from pathlib import Path
from typing import Any

import yaml

from checks.harness.collector import built_program
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import endpoints
from stack.clients.traces import TraceStoreClient
from stack.components.trace_store.config import JAEGER_DATA, jaeger_config


class JaegerProcess(ServerProcess):
    """One Jaeger, and its API; its data outlives it."""

    def __init__(self, directory: Path, retention: str = "336h") -> None:
        ports = {
            port: free_port()
            for port in (
                endpoints.OTLP_GRPC_PORT,
                endpoints.JAEGER_QUERY_PORT,
                endpoints.JAEGER_QUERY_GRPC_PORT,
                endpoints.JAEGER_HEALTH_PORT,
            )
        }
        config: dict[str, Any] = jaeger_config(retention)
        reader = config["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]
        reader |= {"host": "127.0.0.1", "port": free_port()}
        text = yaml.safe_dump(config).replace(JAEGER_DATA, str(directory / "data")).replace("0.0.0.0", "127.0.0.1")
        for port, free in ports.items():
            text = text.replace(f":{port}\n", f":{free}\n")
        file = directory / "jaeger.yaml"
        file.write_text(text)
        self.otlp = f"127.0.0.1:{ports[endpoints.OTLP_GRPC_PORT]}"
        self.metrics = f"http://127.0.0.1:{reader['port']}/metrics"
        health = f"http://127.0.0.1:{ports[endpoints.JAEGER_HEALTH_PORT]}/status"
        self.store = TraceStoreClient("jaeger", f"http://127.0.0.1:{ports[endpoints.JAEGER_QUERY_PORT]}")
        command: list[str | Path] = [built_program("jaeger", "jaeger"), f"--config={file}"]
        super().__init__("jaeger", command, directory, lambda: answers(health))
