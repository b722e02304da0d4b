"""The real Alertmanager as a process, with the stack's configuration, and a receiver of its notifications."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

import yaml

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import endpoints
from stack.components.alertmanager.component import cluster_arguments
from stack.components.alertmanager.config import SECRETS
from tests.support.http_server import Request, Response, http_server
from tests.support.programs import require_built


def alert(name: str, severity: str, *, resolved: bool = False, **labels: str) -> dict[str, Any]:
    """An alert as Prometheus sends those of the stack's rules."""
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, "severity": severity, "environment": "test", **labels},
        "annotations": {
            "summary": f"{name} it is",
            "description": "More of it.",
            "operation": "POST /api/tasks",
            "users": "3 of 10 requests failed",
            "changed": "gateway started",
            "answer": "job=gateway 3",
            "explain": f"./wct explain {name} --stack test",
            "runbook_url": f"http://grafana/d/runbook-{name.lower()}",
            "dashboard_url": "http://grafana/d/services",
        },
        # Start of the alert: a group waits until then, and for its `group_wait`.
        "startsAt": (now - timedelta(seconds=2 if resolved else 0)).isoformat(),
        "endsAt": (now + timedelta(seconds=-1 if resolved else 240)).isoformat(),
    }


def peer_arguments(ports: Sequence[int], number: int) -> list[str]:
    """Return the arguments of one of several pods, with the ports of this machine on which they find each other."""
    text = "\n".join(cluster_arguments(len(ports)))
    stack_port = endpoints.ALERTMANAGER_CLUSTER_PORT
    for peer, port in enumerate(ports):
        text = text.replace(f"{endpoints.pod(endpoints.ALERTMANAGER, peer)}:{stack_port}", f"127.0.0.1:{port}")
    for host in ("0.0.0.0", "$(POD_IP)"):
        text = text.replace(f"{host}:{stack_port}", f"127.0.0.1:{ports[number]}")
    return text.splitlines()


class AlertmanagerProcess(ServerProcess):
    """One Alertmanager; its data and its secrets survive a restart."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        secrets: Mapping[str, str],
        cluster: Sequence[str] = tuple(cluster_arguments(1)),
        **environment: str,
    ) -> None:
        """Prepare the process.

        Args:
            directory: for its files.
            config: the stack's; only the secrets' directory becomes this machine's.
            secrets: key → content of its file.
            cluster: arguments by which it finds others.
            environment: further variables.
        """
        program, file = require_built("alertmanager", "alertmanager"), directory / "alertmanager.yml"
        self._secrets = directory / "secrets"
        self._secrets.mkdir(parents=True)
        for key, value in secrets.items():
            self.set_secret(key, value)
        file.write_text(yaml.safe_dump(config).replace(SECRETS, str(self._secrets)))
        url = self.url = f"http://127.0.0.1:{free_port()}"
        command: list[str | Path] = [
            program,
            f"--config.file={file}",
            f"--storage.path={directory}/data",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--web.external-url=https://alerts.example.com/team",
            "--web.route-prefix=/",
            "--enable-feature=receiver-name-in-metrics",
            *cluster,
        ]
        self._arguments_without_cluster = command[: -len(cluster)]
        super().__init__("alertmanager", command, directory, lambda: answers(f"{url}/-/ready"), environment)

    def set_secret(self, key: str, value: str) -> None:
        """Write a secret's file, as Kubernetes does when the Secret changes."""
        (self._secrets / key).write_text(value)

    def set_cluster(self, arguments: Sequence[str]) -> None:
        """Change how it finds others, from the next start on."""
        self._command = [*self._arguments_without_cluster, *arguments]

    def silence(self, service: str) -> None:
        """Silence the alerts of a service for an hour."""
        now = datetime.now(UTC)
        matcher = {"name": "service", "value": service, "isRegex": False}
        silence = {
            "matchers": [matcher],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "a test",
            "comment": "none",
        }
        answer = CLIENT.post(f"{self.url}/api/v2/silences", json=silence, timeout=10)
        assert answer.status_code == 200, answer.text

    def silenced(self) -> set[str]:
        """Return the services whose alerts are silenced."""
        silences = CLIENT.get(f"{self.url}/api/v2/silences", timeout=10).json()
        return {matcher["value"] for silence in silences for matcher in silence["matchers"]}

    def post(self, *alerts: dict[str, Any]) -> None:
        """Send alerts to it, all in one request."""
        answer = CLIENT.post(f"{self.url}/api/v2/alerts", json=alerts, timeout=10)
        assert answer.status_code == 200, answer.text

    def metric(self, series: str) -> float:
        """Return the value of one of its own series."""
        text = CLIENT.get(f"{self.url}/metrics", timeout=10).text
        values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{series} ")]
        assert len(values) == 1, (series, values)
        return float(values[0])


class Receiver:
    """Keeps all notifications that are posted to its URL."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.url = ""

    def answer(self, request: Request) -> Response:
        """Answers a request, and keeps the notification unless the status is an error."""
        if self.status == 200:
            self.posts.append((request.path, json.loads(request.body)))
        return Response("ok", self.status)

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """The notifications to a path, in their order."""
        return [body for target, body in self.posts if target == path]

    def names(self, path: str, status: str = "firing") -> list[set[str]]:
        """The alerts of each notification that came to a path in Alertmanager's own form."""
        return [
            {each["labels"]["alertname"] for each in body["alerts"] if each["status"] == status}
            for body in self.bodies(path)
        ]


@contextmanager
def receiving_notifications() -> Iterator[Receiver]:
    """A receiver whose server ends with the block."""
    receiver = Receiver()
    with http_server(receiver.answer) as receiver.url:
        yield receiver


def subject(mail: Message) -> str:
    """Return the decoded subject of a mail."""
    return str(make_header(decode_header(mail["Subject"])))
