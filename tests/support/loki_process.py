"""Runs the real Loki as a process on this machine, with the stack's configuration."""

from pathlib import Path
from typing import Any

import yaml

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from stack.components.loki.config import loki_config
from stack.components.loki.settings import Logs
from tests.support.programs import require_built


def local_config(settings: Logs, retention: str, directory: Path) -> dict[str, Any]:
    """Return the stack's configuration with local paths and free ports on the loopback interface."""
    text = yaml.safe_dump(loki_config(settings, retention)).replace("/var/loki", str(directory))
    config: dict[str, Any] = yaml.safe_load(text.replace("127.0.0.1:9095", f"127.0.0.1:{(grpc := free_port())}"))
    config["server"] |= {
        "http_listen_address": "127.0.0.1",
        "http_listen_port": free_port(),
        "grpc_listen_port": grpc,
    }
    return config


class LokiProcess(ServerProcess):
    """One Loki, and queries to it; its data stays on the disk."""

    def __init__(self, directory: Path, retention: str = "48h") -> None:
        self._file = directory / "loki.yaml"
        command: list[str | Path] = [require_built("loki", "loki"), f"-config.file={self._file}"]
        super().__init__("loki", command, directory, lambda: answers(f"{self.url}/ready"))
        self.change(retention)

    def change(self, retention: str, **sections: dict[str, Any]) -> None:
        """Set a retention and change sections of the configuration, from the next start on."""
        config = local_config(Logs(memory="256Mi"), retention, self._directory / "data")
        for name, section in sections.items():
            config[name] |= section
        self._file.write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{config['server']['http_listen_port']}"

    def query(self, logql: str, start_ns: int, end_ns: int) -> list[tuple[dict[str, str], int, str]]:
        """Run a query; return at most 5,000 lines: labels and metadata, time in ns, text."""
        parameters = {"query": logql, "start": str(start_ns), "end": str(end_ns), "limit": "5000"}
        answer = CLIENT.get(f"{self.url}/loki/api/v1/query_range", params=parameters, timeout=30)
        assert answer.status_code == 200, answer.text
        return [
            (stream["stream"], int(time), line)
            for stream in answer.json()["data"]["result"]
            for time, line, *_ in stream["values"]
        ]


def otlp(lines: dict[str, int], **resource: str) -> dict[str, Any]:
    """Return an OTLP request in JSON: lines with their times in ns, all of one resource."""
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
