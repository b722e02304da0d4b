"""Runs the real Loki as a process on this machine, with the stack's configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from stack.components.encryption.peers import PeerTls
from stack.components.loki.config import ADDRESS_VARIABLE, CONFIG, DATA, loki_config
from stack.components.loki.settings import Logs
from tests.support.programs import require_built


def local_config(settings: Logs, retention: str, directory: Path, peers: PeerTls | None = None) -> dict[str, Any]:
    """Return the stack's configuration with local paths, and free ports on the loopback interface.

    Several Lokis have the same ports, at different addresses of that interface.
    """
    text = yaml.safe_dump(loki_config(settings, retention, peers=peers)).replace(DATA, str(directory))
    text = text.replace(CONFIG, str(directory.parent))
    if settings.replicas > 1:
        config: dict[str, Any] = yaml.safe_load(text)
        config["server"]["http_listen_address"] = f"${{{ADDRESS_VARIABLE}}}"
        return config
    config = yaml.safe_load(text.replace("127.0.0.1:9095", f"127.0.0.1:{(grpc := free_port())}"))
    config["server"] |= {
        "http_listen_address": "127.0.0.1",
        "http_listen_port": free_port(),
        "grpc_listen_port": grpc,
    }
    return config


_SETTINGS: Final = Logs(memory="256Mi")


class LokiProcess(ServerProcess):
    """One Loki, and queries to it; its data stays on the disk."""

    def __init__(
        self,
        directory: Path,
        retention: str = "48h",
        settings: Logs = _SETTINGS,
        environment: Mapping[str, str] = {},
        peers: PeerTls | None = None,
    ) -> None:
        self.peers = peers
        self._file = directory / "loki.yaml"
        self._settings = settings
        self._address = environment.get(ADDRESS_VARIABLE, "127.0.0.1")
        command: list[str | Path] = [
            require_built("loki", "loki"),
            f"-config.file={self._file}",
            "-config.expand-env=true",
        ]
        super().__init__("loki", command, directory, lambda: answers(f"{self.url}/ready"), environment)
        self.change(retention)

    def change(self, retention: str, **sections: dict[str, Any]) -> None:
        """Set a retention and change sections of the configuration, from the next start on."""
        config = local_config(self._settings, retention, self._directory / "data", self.peers)
        for name, section in sections.items():
            config.setdefault(name, {}).update(section)
        self._file.write_text(yaml.safe_dump(config))
        self.url = f"http://{self._address}:{config['server']['http_listen_port']}"

    def write(self, service: str, lines: Mapping[str, int]) -> None:
        """Send lines with their times in ns; Loki acknowledges them."""
        answer = CLIENT.post(f"{self.url}/otlp/v1/logs", json=otlp(dict(lines), service_name=service), timeout=30)
        assert answer.is_success, answer.text

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
