"""Several pods of Prometheus, Alertmanager and Grafana: how they find each other, and who sends to which."""

import re
from typing import Any

import pytest
import yaml

from contracts import endpoints, secret_keys
from contracts.metadata import Manifest
from contracts.metrics import LOG_STORE_JOB, TRACE_STORE_JOB
from dashboards.rules import alert_rules, groups
from stack.components.trace_store.scrape import target
from stack.settings import load, parse
from stack.settings.missing_secrets import needed_secrets
from stack.settings.monitoring import monitoring_config
from tests.support.authority import CA
from tests.support.configuration import config, refusal
from tests.support.program import dev_with, rendered

DATABASE = {"host": "db.example.com:5432", "ca": CA}


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """The objects, by kind and name."""
    return {(item["kind"], item["metadata"]["name"]): item for item in manifests}


def container(manifest: Manifest) -> dict[str, Any]:
    """The main container of a workload."""
    containers: list[dict[str, Any]] = manifest["spec"]["template"]["spec"]["containers"]
    return containers[0]


def test_in_prod_no_pod_of_prometheus_and_alertmanager_is_alone() -> None:
    objects = by_name(rendered("prod"))
    for name in (endpoints.PROMETHEUS, endpoints.ALERTMANAGER):
        assert objects["StatefulSet", name]["spec"]["replicas"] == 2
        assert objects["PodDisruptionBudget", name]["spec"]["maxUnavailable"] == 1
        assert objects["Service", name]["spec"]["sessionAffinity"] == "ClientIP"


def test_each_alertmanager_knows_all_peers() -> None:
    alertmanager = container(by_name(rendered("prod"))["StatefulSet", endpoints.ALERTMANAGER])
    peers = [argument for argument in alertmanager["args"] if argument.startswith("--cluster.peer=")]
    assert peers == [f"--cluster.peer=alertmanager-{number}.alertmanager-pods:9094" for number in (0, 1)]
    assert {"name": "cluster", "containerPort": endpoints.ALERTMANAGER_CLUSTER_PORT} in alertmanager["ports"]
    assert {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}} in alertmanager["env"]


def test_metrics_that_collectors_receive_go_to_each_prometheus() -> None:
    objects = by_name(rendered("prod"))
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    names = collector["service"]["pipelines"]["metrics"]["exporters"]
    assert [collector["exporters"][name]["endpoint"] for name in names] == [
        f"https://prometheus-{number}.prometheus-pods:9090/api/v1/otlp" for number in (0, 1)
    ]
    assert all("storage" in collector["exporters"][name]["sending_queue"] for name in names)


def test_each_prometheus_scrapes_both() -> None:
    document = yaml.safe_load(by_name(rendered("prod"))["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    (job,) = [job for job in document["scrape_configs"] if job["job_name"] == endpoints.PROMETHEUS]
    assert job["dns_sd_configs"][0]["names"] == ["prometheus-pods.tracing.svc.cluster.local."]


def test_an_alert_reports_that_one_is_missing() -> None:
    def degraded(stack: str) -> set[str]:
        rules = alert_rules(groups(monitoring_config(load(stack))))
        return {rule.labels["job"] for rule in rules if rule.name == "ServiceDegraded"}

    several = {endpoints.PROMETHEUS, endpoints.ALERTMANAGER, TRACE_STORE_JOB, LOG_STORE_JOB}
    assert degraded("prod") - degraded("dev") == several


def test_pods_of_grafana_share_a_database() -> None:
    sections = {"grafana": {"replicas": 2, "database": DATABASE}}
    objects = dev_with(**sections)
    grafana = container(objects["StatefulSet", endpoints.GRAFANA])
    variables = {item["name"]: item.get("value") for item in grafana["env"]}
    assert variables["GF_DATABASE_HOST"] == DATABASE["host"]
    assert variables["GF_DATABASE_SSL_MODE"] == "verify-full"
    assert variables["GF_DATABASE_PASSWORD"] is None, "the secret is a reference"
    folder, _, file = str(variables["GF_DATABASE_CA_CERT_PATH"]).rpartition("/")
    assert objects["ConfigMap", "grafana-database"]["data"] == {file: DATABASE["ca"]}
    assert folder in {mount["mountPath"] for mount in grafana["volumeMounts"]}
    assert secret_keys.GRAFANA_DATABASE_PASSWORD in needed_secrets(parse(config(**sections), "Pulumi.test.yaml"))


def test_pods_of_grafana_without_a_database_are_refused() -> None:
    assert "replicas 2 need database" in refusal(grafana={"replicas": 2})


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_alerts_expect_the_pods_that_the_stack_declares(stack: str) -> None:
    objects = by_name(rendered(stack))
    settings = load(stack)
    declared = {name: item["spec"].get("replicas") for (_, name), item in objects.items() if "spec" in item}
    expected = monitoring_config(settings).monitoring_replicas
    assert expected[TRACE_STORE_JOB] == sum(declared[name] for name in target(settings.traces).pods)
    assert expected.get(LOG_STORE_JOB) == declared.get(endpoints.LOKI)


def test_prometheus_tells_the_parts_of_tempo_apart() -> None:
    document = yaml.safe_load(by_name(rendered("prod"))["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    (job,) = [job for job in document["scrape_configs"] if job["job_name"] == TRACE_STORE_JOB]
    (relabeling,) = job["relabel_configs"]
    (names,) = (discovery["names"] for discovery in job["dns_sd_configs"])
    matches = [re.fullmatch(relabeling["regex"], name) for name in names]
    assert [match[1] for match in matches if match] == list(target(load("prod").traces).pods)
