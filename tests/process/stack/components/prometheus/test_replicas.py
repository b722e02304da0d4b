"""Two Prometheus and two Alertmanagers with the stack's configuration: an alert is sent once."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from stack.components.alertmanager.config import alertmanager_config
from stack.components.alertmanager.settings import Alerting
from stack.components.encryption.settings import Encryption
from stack.components.prometheus.config import POD_NAME, REPLICA, prometheus_config
from stack.polling import poll_until
from stack.settings import load
from stack.settings.scraping import scraping
from tests.support.alertmanager_process import AlertmanagerProcess, Receiver, peer_arguments, receiving_notifications
from tests.support.prometheus_process import PrometheusProcess

_PEER_SECONDS = 2
"""How long an Alertmanager waits for each of its peers before it sends, in s."""


@dataclass(frozen=True)
class Pair:
    """Both of each, and what they send."""

    rules: Path
    prometheus: Sequence[PrometheusProcess]
    alertmanagers: Sequence[AlertmanagerProcess]
    receiver: Receiver

    def fire(self, *names: str) -> None:
        """Make these alerts fire, and all others end, in each Prometheus that runs."""
        rules = [
            {"alert": name, "expr": "vector(1)", "labels": {"severity": "page", "service": name}} for name in names
        ]
        self.rules.write_text(yaml.safe_dump({"groups": [{"name": "alerts", "rules": rules}]}))
        for process in self.prometheus:
            if process.is_running:
                os.kill(process.pid, signal.SIGHUP)

    def notifications(self, name: str) -> int:
        """Return how many notifications of a firing alert came."""
        return sum(name in names for names in self.receiver.names("/page"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving_notifications() as receiver:
        yield receiver


@pytest.fixture
def pair(receiver: Receiver, tmp_path: Path) -> Iterator[Pair]:
    alerting = Alerting.model_validate({"replicas": 2, "page": {"webhook": True}})
    routes = alertmanager_config(alerting)
    routes["route"]["routes"][0] |= {"group_wait": "1s", "group_interval": "1s"}
    ports = [free_port() for _ in range(alerting.replicas)]
    alertmanagers = [
        AlertmanagerProcess(
            tmp_path / f"alertmanager-{number}",
            routes,
            {"alertPageWebhookUrl": f"{receiver.url}/page"},
            [*peer_arguments(ports, number), f"--cluster.peer-timeout={_PEER_SECONDS}s"],
        )
        for number in range(alerting.replicas)
    ]
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: []")
    config = prometheus_config(scraping(load("prod").model_copy(update={"encryption": Encryption()})))
    (target,) = config["alerting"]["alertmanagers"]
    del target["dns_sd_configs"]
    target["static_configs"] = [{"targets": [process.url.removeprefix("http://") for process in alertmanagers]}]
    config |= {"rule_files": [str(rules)], "scrape_configs": []}
    config["global"] |= {"evaluation_interval": "1s", "scrape_interval": "1s", "scrape_timeout": "1s"}
    prometheus = list[PrometheusProcess]()
    for number in range(2):
        directory = tmp_path / f"prometheus-{number}"
        directory.mkdir()
        prometheus.append(PrometheusProcess(directory, config=config, environment={POD_NAME: directory.name}))
    processes = [*alertmanagers, *prometheus]
    try:
        for process in processes:
            process.start()
        poll_until("cluster", lambda: all(it.metric("alertmanager_cluster_members") == 2 for it in alertmanagers))
        yield Pair(rules, prometheus, alertmanagers, receiver)
    finally:
        for process in processes:
            process.kill()


@pytest.mark.parametrize("stopped", [0, 1])
def test_an_alert_is_sent_once_also_while_one_of_each_is_stopped(pair: Pair, stopped: int) -> None:
    pair.fire("First")
    poll_until("the first alert", lambda: pair.notifications("First"))
    time.sleep(3 * _PEER_SECONDS)  # the other Alertmanager would have sent by now
    assert pair.notifications("First") == 1

    pair.prometheus[stopped].kill()
    pair.alertmanagers[stopped].kill()
    pair.fire("First", "Second")
    poll_until("the second alert", lambda: pair.notifications("Second"), seconds=30)
    time.sleep(3 * _PEER_SECONDS)
    assert (pair.notifications("First"), pair.notifications("Second")) == (1, 1)


def test_the_two_differ_by_a_label_that_alerts_do_not_have(pair: Pair) -> None:
    for number, process in enumerate(pair.prometheus):
        configuration = CLIENT.get(f"{process.url}/api/v1/status/config", timeout=10).json()["data"]["yaml"]
        assert f"{REPLICA}: prometheus-{number}" in configuration
    pair.fire("First")
    poll_until("the alert", lambda: pair.notifications("First"))
    (alert,) = pair.receiver.bodies("/page")[0]["alerts"]
    assert alert["labels"] == {"alertname": "First", "environment": "prod", "service": "First", "severity": "page"}
