"""Sends alerts to a real Alertmanager with the stack's configuration, and keeps what it tells its receivers."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from checks.harness.collector import MissingProgram
from checks.harness.http import CLIENT
from checks.harness.http_receiver import serve_http
from checks.harness.mail import Mail, mail_server
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import secret_keys
from local.paths import Home
from stack.components.alertmanager.config import SECRETS, alertmanager_config
from stack.components.alertmanager.settings import Alerting

_SERIES: Final = re.compile(r"^\w*calls_total\{(.*?)\} ", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Notifications:
    """Alertmanager, and the bodies and mails of its notifications."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bodies: list[bytes] = []
        self.mails: list[Mail] = []

    def add(self, body: bytes) -> None:
        """Keep a notification."""
        self._bodies.append(body)

    def send(self, series: Iterable[Mapping[str, str]]) -> None:
        """Send an alert for each series, with all that a rule can say about it: its labels, and texts made of them."""
        now = datetime.now(UTC)
        alerts = [
            {
                "labels": {**labels, "alertname": "Planted", "severity": "page", "environment": "test"},
                "annotations": {
                    "summary": f"{labels.get('service_name')}: {labels.get('span_name')} fails",
                    "description": json.dumps(labels),
                    "operation": labels.get("span_name", ""),
                    "answer": " ".join(f"{name}={value}" for name, value in labels.items()),
                },
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(minutes=5)).isoformat(),
            }
            for labels in series
        ]
        CLIENT.post(f"{self._url}/api/v2/alerts", json=alerts, timeout=30).raise_for_status()

    @property
    def content(self) -> bytes:
        """All notifications to Slack and to the webhook."""
        return b"\n".join(self._bodies)

    @property
    def mailed(self) -> bytes:
        """All notifications by mail."""
        return b"\n".join(mail.content for mail in self.mails)


def series(exposed: str) -> list[dict[str, str]]:
    """Return the labels of each series of calls in the Collector's span metrics."""
    return [dict(_LABEL.findall(labels)) for labels in _SERIES.findall(exposed)]


@contextmanager
def notifying(directory: Path) -> Iterator[Notifications]:
    """Run Alertmanager, a server in place of Slack and of a webhook's receiver, and a mail server.

    Raises:
        MissingProgram: there is no Alertmanager.
    """
    built = Home.default().bin / "alertmanager"
    program = str(built) if built.is_file() else shutil.which("alertmanager")
    if not program:
        raise MissingProgram("no Alertmanager to run: `./wct images build alertmanager` builds it")
    url = f"http://127.0.0.1:{free_port()}"
    notifications = Notifications(url)
    with _receiver(notifications) as receiver, mail_server(notifications.mails) as mail_port:
        secrets = directory / "secrets"
        secrets.mkdir(parents=True)
        for key in (secret_keys.ALERT_WEBHOOK_URL["page"], secret_keys.ALERT_SLACK_URL["page"]):
            (secrets / key).write_text(f"{receiver}/{key}")
        file = directory / "alertmanager.yml"
        file.write_text(yaml.safe_dump(_configuration(mail_port)).replace(SECRETS, str(secrets)))
        command: list[str | Path] = [program, f"--config.file={file}", f"--storage.path={directory / 'data'}"]
        command += [f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address="]
        process = ServerProcess("alertmanager", command, directory, lambda: answers(f"{url}/-/ready"))
        try:
            process.start()
            yield notifications
        finally:
            process.kill()


def _configuration(mail_port: int) -> dict[str, Any]:
    """The stack's configuration, which waits a second for further alerts in place of five."""
    page = {"webhook": True, "slack": True, "email": ["oncall@example.com"]}
    smtp = {"host": f"127.0.0.1:{mail_port}", "sender": "alerts@example.com", "tls": "none"}
    config = alertmanager_config(Alerting.model_validate({"page": page, "smtp": smtp}))
    for route in config["route"]["routes"]:
        if route["receiver"] == "page":
            route |= {"group_wait": "1s", "group_interval": "1s"}
    return config


@contextmanager
def _receiver(notifications: Notifications) -> Iterator[str]:
    def take(body: bytes) -> bytes:
        notifications.add(body)
        return b"ok"

    server = serve_http(take, "text/plain")
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
