"""A metric store and an Alertmanager that the stack did not build: who scrapes, who evaluates, and who sends alerts."""

from typing import Any

import pytest
import yaml

from contracts import endpoints, secret_keys
from contracts.metadata import Manifest
from dashboards.rules import alert_rules, groups
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from stack.settings.monitoring import monitoring_config
from stack.settings.scraping import scraping
from tests.support.configuration import config, refusal
from tests.support.program import dev_with

LABELS = {"release": "kube-prometheus-stack"}
OPERATOR = {
    "queryUrl": "http://prometheus.monitoring:9090",
    "podMonitors": {"labels": LABELS},
    "rules": {"labels": LABELS},
}
MIMIR = {
    "queryUrl": "https://mimir.example.com/prometheus",
    "headers": {"X-Scope-OrgID": "tracing"},
    "authorizeQueries": True,
    "remoteWrite": {"url": "https://mimir.example.com/api/v1/push", "authorize": True},
}
ALERTMANAGERS = {"urls": ["https://alerts-0.example.com/team", "https://alerts-1.example.com/team"]}
YOURS: dict[str, Any] = {"alerting": {"external": ALERTMANAGERS}}


def container(manifest: Manifest) -> dict[str, Any]:
    """The main container of a workload."""
    containers: list[dict[str, Any]] = manifest["spec"]["template"]["spec"]["containers"]
    return containers[0]


def test_the_operators_prometheus_scrapes_each_job_by_a_declared_port() -> None:
    objects = dev_with(metrics={"external": OPERATOR}, **YOURS)
    assert ("StatefulSet", endpoints.PROMETHEUS) not in objects
    pods = [item["spec"]["template"] for (kind, _), item in objects.items() if kind in ("Deployment", "StatefulSet")]
    settings = parse(config(metrics={"external": OPERATOR}, **YOURS), "Pulumi.test.yaml")
    monitors = {name: item for (kind, name), item in objects.items() if kind == "PodMonitor"}
    assert set(monitors) == {target.job for target in scraping(settings).targets}
    for name, monitor in monitors.items():
        assert monitor["metadata"]["labels"].items() >= LABELS.items()
        (names,) = monitor["spec"]["selector"]["matchExpressions"]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        selected = [pod for pod in pods if pod["metadata"]["labels"][names["key"]] in names["values"]]
        assert len(selected) == len(names["values"]), name
        for pod in selected:
            containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
            ports = [port["containerPort"] for item in containers for port in item.get("ports", [])]
            assert ports.count(endpoint["portNumber"]) == 1, name
        assert {"targetLabel": "job", "replacement": name} in endpoint["relabelings"]
    tracks = monitors["gateway"]["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert tracks[-1]["sourceLabels"] == ["__meta_kubernetes_pod_label_web_crawl_tracing_track"]


def test_the_rules_name_the_environment_and_the_interval_themselves() -> None:
    objects = dev_with(metrics={"external": OPERATOR}, **YOURS)
    rules = objects["PrometheusRule", "rules"]
    assert rules["metadata"]["labels"].items() >= LABELS.items()
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert {rule["labels"]["environment"] for rule in alerts} == {"dev"}
    # The default of kube-prometheus-stack is 30 s, and that of Mimir a minute: each alert would be later.
    assert {group["interval"] for group in rules["spec"]["groups"]} == {"15s"}
    assert "externalLabels" not in str(rules)
    assert ("ConfigMap", "prometheus-rules") not in objects


def test_a_store_that_scrapes_gets_no_metrics_from_the_collectors() -> None:
    objects = dev_with(metrics={"external": OPERATOR}, **YOURS)
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    assert "metrics" not in collector["service"]["pipelines"]
    assert "metrics/spans" in collector["service"]["pipelines"]


def test_an_agent_sends_to_a_remote_store() -> None:
    objects = dev_with(metrics={"external": MIMIR}, **YOURS)
    agent = container(objects["StatefulSet", endpoints.PROMETHEUS])
    assert "--agent" in agent["args"]
    document = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    assert document["remote_write"] == [
        {
            "url": "https://mimir.example.com/api/v1/push",
            "send_exemplars": True,
            "headers": {"X-Scope-OrgID": "tracing"},
            "authorization": {"credentials_file": "/etc/prometheus-secrets/metricsWriteToken"},
        }
    ]
    assert not document.keys() & {"rule_files", "alerting", "storage"}, "an agent refuses them"
    assert "/etc/prometheus-secrets" in {mount["mountPath"] for mount in agent["volumeMounts"]}
    rules = yaml.safe_load(objects["ConfigMap", "prometheus-rules"]["data"]["rules.yml"])
    assert "externalLabels" not in str(rules)


def test_grafana_and_the_probe_query_it_with_the_secret() -> None:
    objects = dev_with(metrics={"external": MIMIR}, **YOURS)
    document = yaml.safe_load(objects["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"])
    sources = {item["uid"]: item for item in document["datasources"]}
    assert sources[endpoints.PROMETHEUS_UID]["url"] == MIMIR["queryUrl"]
    assert sources[endpoints.PROMETHEUS_UID]["secureJsonData"]["httpHeaderValue2"] == "$METRICS_QUERY_AUTHORIZATION"
    assert sources[endpoints.PROMETHEUS_UID]["jsonData"]["httpMethod"] == "POST"
    assert sources[endpoints.ALERTS_UID]["url"] == ALERTMANAGERS["urls"][0]
    for kind, name, variable in (
        ("StatefulSet", "grafana", "METRICS_QUERY_AUTHORIZATION"),
        ("Deployment", "probe", "PROMETHEUS_AUTHORIZATION"),
    ):
        variables = {item["name"]: item for item in container(objects[kind, name])["env"]}
        key = variables[variable]["valueFrom"]["secretKeyRef"]["key"]
        assert key == secret_keys.METRICS_QUERY_AUTHORIZATION


def test_prometheus_sends_to_each_external_alertmanager() -> None:
    objects = dev_with(**YOURS)
    assert ("StatefulSet", endpoints.ALERTMANAGER) not in objects
    document = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    assert document["alerting"]["alertmanagers"] == [
        {
            "scheme": "https",
            "static_configs": [{"targets": [f"alerts-{number}.example.com"]}],
            "path_prefix": "/team",
        }
        for number in (0, 1)
    ]
    assert "alertmanager" not in {job["job_name"] for job in document["scrape_configs"]}


def test_no_rule_waits_for_metrics_of_what_the_stack_did_not_build() -> None:
    def alerts(**sections: Any) -> set[str]:
        settings = parse(config(**sections), "Pulumi.test.yaml")
        return {rule.name for rule in alert_rules(groups(monitoring_config(settings)))}

    assert alerts() - alerts(**YOURS) == {"AlertmanagerDown", "NotificationsFail"}
    assert alerts(**YOURS) - alerts(metrics={"external": OPERATOR}, **YOURS) == {"AlertsNotSent", "RulesFail"}


def test_missing_secrets_are_named() -> None:
    needed = needed_secrets(parse(config(metrics={"external": MIMIR}, **YOURS), "Pulumi.test.yaml"))
    assert {secret_keys.METRICS_WRITE_TOKEN, secret_keys.METRICS_QUERY_AUTHORIZATION} <= {*needed}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"metrics": {"external": OPERATOR}}, "no alert reaches the stack's own"),
        (
            {"metrics": {"external": {**OPERATOR, "remoteWrite": {"url": "https://m"}}}, **YOURS},
            "either podMonitors or remoteWrite",
        ),
        ({"metrics": {"external": {"queryUrl": "http://mimir"}}, **YOURS}, "either podMonitors or remoteWrite"),
        (
            {"metrics": {"external": {**MIMIR, "remoteWrite": {"url": "http://m", "authorize": True}}}, **YOURS},
            "authorize: the secret would be sent in clear",
        ),
        (
            {"metrics": {"external": {**MIMIR, "remoteWrite": {"url": "https://m", "username": "me"}}}, **YOURS},
            "username 'me' is not used",
        ),
        ({"alerting": {"external": ALERTMANAGERS, "heartbeatMinutes": 5}}, "external is yours"),
        ({"alerting": {"external": {"urls": []}}}, "alerting.external.urls"),
    ],
)
def test_what_cannot_work_is_refused(sections: Any, message: str) -> None:
    assert message in refusal(**sections)
