"""The Prometheus Operator, where its program is on PATH, and a Prometheus that runs with what it makes of our objects.

The Prometheus is a process of this machine. Its configuration and rules are what the operator wrote, with the paths of
the files and the variables of the pod replaced. It has the pods in a file, since the Prometheus of the stack is built
without discovery by the Kubernetes API.
"""

import gzip
import os
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes
import pytest
import yaml

from checks.dashboards.stack import check_stack
from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from checks.harness.traffic import Traffic
from contracts import secret_keys
from contracts.metadata import Manifest
from stack.kubernetes.client import connect
from stack.polling import CheckFailure, poll_until
from stack.settings import PROJECT, Settings, effective_config, load, parse
from stack.settings.scraping import scraping
from stack.stores import Stores
from tests.support.foreign_kinds import apply_strictly, create_namespace, installed_kinds
from tests.support.mistakes import make_mistakes
from tests.support.pod_discovery import with_files
from tests.support.program import recorded
from tests.support.programs import require_program
from tests.support.prometheus_process import PrometheusProcess

pytestmark = pytest.mark.nightly

_NAMESPACE: Final = "operator-test"
_LABELS: Final = {"release": "theirs"}
_MINUTES: Final = 3
_FEATURES: Final = "exemplar-storage,extra-scrape-metrics"


@dataclass(frozen=True, kw_only=True)
class Operated:
    """The local stack, whose pods a Prometheus of others scrapes."""

    settings: Settings
    prometheus: PrometheusProcess
    client: kubernetes.client.ApiClient

    def read(self, path: str) -> Any:
        """Return what the API of Prometheus answers."""
        return CLIENT.get(f"{self.prometheus.url}/api/v1/{path}").json()["data"]


def _config(query_url: str) -> dict[str, Any]:
    """Return the configuration of the local stack, with metrics that the operator's Prometheus has."""
    external = {"queryUrl": query_url, "podMonitors": {"labels": _LABELS}, "rules": {"labels": _LABELS}}
    sections: dict[str, Any] = {"metrics": {"external": external}, "grafana": {"enabled": False}}
    own = {key: value for key, value in effective_config("local").items() if key != f"{PROJECT}:metrics"}
    alertmanager = own.get(f"{PROJECT}:alerting", {})
    if alertmanager.get("enabled", True):
        sections["alerting"] = {"external": {"urls": ["http://alertmanager:9093"]}}
    return own | {f"{PROJECT}:{key}": value for key, value in sections.items()}


def _objects(config: dict[str, Any], namespace: str) -> list[Manifest]:
    kinds = ("PodMonitor", "PrometheusRule")
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.GENERATED}
    made = [item for item in recorded("local", config | secrets).manifests if item["kind"] in kinds]
    return [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in made]


def _prometheus_object() -> Manifest:
    """Return the object of others, with the intervals of kube-prometheus-stack. Its pods would need their images."""
    selected = {"matchLabels": _LABELS}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": "theirs"},
        "spec": {
            "replicas": 0,
            "podMonitorSelector": selected,
            "podMonitorNamespaceSelector": {},
            "ruleSelector": selected,
            "ruleNamespaceSelector": {},
            "scrapeInterval": "30s",
            "evaluationInterval": "30s",
            "enableFeatures": _FEATURES.split(","),
        },
    }


def _generated(client: kubernetes.client.ApiClient, jobs: int, rules: Path) -> dict[str, Any] | None:
    """Return the configuration that the operator wrote, and write its rules; None if it is not yet complete."""
    core = kubernetes.client.CoreV1Api(client)
    secrets = {item.metadata.name: item for item in core.list_namespaced_secret(_NAMESPACE).items}
    maps = {item.metadata.name: item for item in core.list_namespaced_config_map(_NAMESPACE).items}
    files = maps.get("prometheus-theirs-rulefiles-0")
    if "prometheus-theirs" not in secrets or files is None or not files.data:
        return None
    text = gzip.decompress(b64decode(secrets["prometheus-theirs"].data["prometheus.yaml.gz"])).decode()
    for name, content in files.data.items():
        (rules / name).write_text(content)
    # The sidecar of the pod replaces variables.
    text = text.replace("$(POD_NAME)", "prometheus-theirs-0").replace("$(SHARD)", "0")
    config: dict[str, Any] = yaml.safe_load(text)
    config["rule_files"] = [f"{rules}/*"]
    return config if len(config["scrape_configs"]) == jobs else None


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    directory = tmp_path_factory.mktemp("operator")
    rules = directory / "rules"
    rules.mkdir()
    operator = require_program("prometheus-operator")
    port = free_port()
    settings = parse(_config(f"http://127.0.0.1:{port}"), "Pulumi.local.yaml")
    client, namespace = connect(settings.cluster), settings.cluster.namespace
    configuration = client.configuration
    ca, certificate, key = configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file
    health = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [operator, f"-web.listen-address={health}", f"-apiserver={configuration.host}"]
    command += [f"-ca-file={ca}", f"-cert-file={certificate}", f"-key-file={key}"]
    process = ServerProcess(
        "prometheus-operator", command, directory, lambda: answers(f"http://{health}/healthz"), os.environ
    )
    objects = _objects(_config(f"http://127.0.0.1:{port}"), namespace)
    with installed_kinds(client, {"monitoring.coreos.com"}):
        create_namespace(client, _NAMESPACE)
        try:
            apply_strictly(client, namespace, objects)
            apply_strictly(client, _NAMESPACE, [_prometheus_object()])
            process.start()
            jobs = len(scraping(settings).targets)
            config = poll_until("the operator's configuration", lambda: _generated(client, jobs, rules), seconds=60)
            config = with_files(config, client, directory)
            prometheus = PrometheusProcess(directory, config=config, features=_FEATURES, port=port)
            try:
                prometheus.start()
                yield Operated(settings=settings, prometheus=prometheus, client=client)
            finally:
                prometheus.kill()
        finally:
            process.kill()
            kubernetes.client.CoreV1Api(client).delete_namespace(_NAMESPACE)


def test_every_target_is_up(operated: Operated) -> None:
    expected = {target.job for target in scraping(operated.settings).targets}

    def are_up() -> bool:
        targets = operated.read("targets?state=active")["activeTargets"]
        jobs, health = {item["labels"]["job"] for item in targets}, {item["health"] for item in targets}
        return jobs == expected and health == {"up"}

    poll_until("all targets", are_up, seconds=60, every=1)
    pods = "count by (job) (up)"
    theirs = {item["metric"]["job"]: float(item["value"][1]) for item in operated.prometheus.query(pods)}
    with Stores(settings=load("local"), client=operated.client).prometheus() as prometheus:
        own = {series.labels["job"]: series.value for series in prometheus.query(pods)}
    assert theirs == {job: count for job, count in own.items() if job in expected}


def test_every_rule_is_evaluated(operated: Operated) -> None:
    (manifest,) = [item for item in _objects(_config("http://x"), "x") if item["kind"] == "PrometheusRule"]
    expected = {group["name"] for group in manifest["spec"]["groups"]}

    def is_healthy() -> bool:
        groups = operated.read("rules")["groups"]
        return {group["name"] for group in groups} == expected and all(
            rule["health"] == "ok" for group in groups for rule in group["rules"]
        )

    poll_until("all rules", is_healthy, seconds=90, every=1)
    seconds = operated.settings.metrics.scrape_interval_seconds
    assert {group["interval"] for group in operated.read("rules")["groups"]} == {seconds}


def test_the_dashboards_have_data(operated: Operated) -> None:
    last: list[str] = []

    def is_complete(gateway: str) -> bool:
        make_mistakes(gateway)
        checked = check_stack(operated.settings, _MINUTES, lambda _: None)
        last[:] = [f"{item.dashboard}, {item.where}: {item.what}" for item in checked.result.failures]
        return not last

    with Stores(settings=operated.settings, client=operated.client).gateway() as gateway, Traffic(gateway, rate=5):
        try:
            poll_until("data in every panel", lambda: is_complete(gateway), seconds=180, every=5)
        except CheckFailure as error:
            raise AssertionError("\n".join([str(error), *last])) from None
