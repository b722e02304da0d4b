"""The real Loki as a process of this machine, with the configuration that the stack gives it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from checks.harness.ports import free_port
from local.paths import Home
from stack.components.loki.config import loki_config
from stack.components.loki.settings import Logs
from stack.polling import poll_until


def binary() -> Path:
    """Loki as `make up` built it, or the one on PATH; skips the test where there is none."""
    built = Home.default().bin / "loki"
    if built.is_file():
        return built
    if found := shutil.which("loki"):
        return Path(found)
    pytest.skip("no Loki to run: `./wct images build loki` builds it, as does `make up`, last")


def local_config(settings: Logs, retention: str, directory: Path) -> dict[str, Any]:
    """The stack's configuration with this machine's paths, free ports, and nobody else reaching them."""
    text = yaml.safe_dump(loki_config(settings, retention)).replace("/var/loki", str(directory))
    config: dict[str, Any] = yaml.safe_load(text.replace("127.0.0.1:9095", f"127.0.0.1:{(grpc := free_port())}"))
    config["server"] |= {
        "http_listen_address": "127.0.0.1",
        "http_listen_port": free_port(),
        "grpc_listen_port": grpc,
    }
    return config


class LokiProcess:
    """Starts, kills and asks one Loki; its data outlives it."""

    def __init__(self, directory: Path, retention: str = "48h") -> None:
        self._binary = binary()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._file = directory / "loki.yaml"
        self.change(retention)

    def change(self, retention: str, **sections: dict[str, Any]) -> None:
        """Another retention from the next start on; `sections` are laid over those of its configuration."""
        config = local_config(Logs(memory="256Mi"), retention, self._directory / "data")
        for name, section in sections.items():
            config[name] |= section
        self._file.write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{config['server']['http_listen_port']}"

    def start(self) -> None:
        """Returns when it is ready."""
        with (self._directory / "loki.log").open("ab") as log:
            command = [str(self._binary), f"-config.file={self._file}"]
            process = self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

        def ready() -> bool:
            assert process.poll() is None, (self._directory / "loki.log").read_text()[-2000:]
            try:
                return httpx.get(f"{self.url}/ready", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        poll_until("Loki that is ready", ready, seconds=60, every=0.1)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """As Kubernetes stops it."""
        if self._process:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def query(self, logql: str, start_ns: int, end_ns: int) -> list[tuple[dict[str, str], int, str]]:
        """The lines found, at most 5,000: labels and metadata, time in ns, text."""
        parameters = {"query": logql, "start": str(start_ns), "end": str(end_ns), "limit": "5000"}
        answer = httpx.get(f"{self.url}/loki/api/v1/query_range", params=parameters, timeout=30)
        assert answer.status_code == 200, answer.text
        return [
            (stream["stream"], int(time), line)
            for stream in answer.json()["data"]["result"]
            for time, line, *_ in stream["values"]
        ]


def otlp(lines: dict[str, int], **resource: str) -> dict[str, Any]:
    """An OTLP request in JSON: lines with their times in ns, all of one resource."""
    return {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": [
                        {"key": key.replace("_", "."), "value": {"stringValue": value}}
                        for key, value in resource.items()
                    ]
                },
                "scopeLogs": [
                    {
                        "logRecords": [
                            {"timeUnixNano": str(time), "body": {"stringValue": line}} for line, time in lines.items()
                        ]
                    }
                ],
            }
        ]
    }
