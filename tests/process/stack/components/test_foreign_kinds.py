"""A real API server with the definitions of the operators: it takes every object that the stack makes for them."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

import pytest
from kubernetes.dynamic.exceptions import ApiException

from contracts.metadata import Manifest
from stack.components.encryption.authority import Authority
from stack.deploy.argo_rollouts import with_rollouts
from stack.settings import load
from tests.support.api_server import ApiServer, running
from tests.support.foreign_kinds import apply_strictly, create_namespace, installed_kinds
from tests.support.program import dev_with

_NAMESPACE: Final = "tracing"
_BACKUP: Final = {"destination": "s3://backups/tracing", "endpoint": "https://s3.example.com"}
_SECTIONS: Final[dict[str, dict[str, Any]]] = {
    "Prometheus Operator": {
        "metrics": {
            "external": {
                "queryUrl": "http://prometheus.monitoring:9090",
                "podMonitors": {"labels": {"release": "kube-prometheus-stack"}},
                "rules": {"labels": {"release": "kube-prometheus-stack"}},
            }
        },
        "alerting": {"external": {"urls": ["http://alertmanager.monitoring:9093"]}},
    },
    "Grafana Operator": {
        "grafana": {
            "url": "https://grafana.example.com",
            "external": {"operator": {"instanceSelector": {"dashboards": "grafana"}}},
        },
    },
    "CloudNativePG": {"postgres": {"cloudnativepg": {"instances": 3, "backup": _BACKUP}}},
    "cert-manager": {
        "encryption": {
            "kafka": True,
            "services": True,
            "issuer": {"name": "private", "authority": Authority("a random text of the tests").certificate},
        },
    },
    "Gateway API": {
        "grafana": {"url": "https://example.com/grafana"},
        "ingress": {
            "api": "HTTPRoute",
            "gateway": {"name": "public", "namespace": "gateways", "section": "https"},
            "taskApi": {"host": "tasks.example.com", "reason": "Customers submit their tasks here"},
            "grafana": {"reason": "On-call engineers work here"},
        },
        "encryption": {"services": True},
    },
}
_KINDS: Final = {
    "Prometheus Operator": {"PodMonitor", "PrometheusRule"},
    "Grafana Operator": {"GrafanaDashboard", "GrafanaDatasource", "GrafanaFolder"},
    "CloudNativePG": {"Cluster", "ObjectStore", "ScheduledBackup"},
    "cert-manager": {"Certificate"},
    "Gateway API": {"HTTPRoute", "BackendTLSPolicy"},
}
_GROUPS: Final = {
    "Prometheus Operator": {"monitoring.coreos.com"},
    "Grafana Operator": {"grafana.integreatly.org"},
    "CloudNativePG": {"postgresql.cnpg.io", "barmancloud.cnpg.io"},
    "cert-manager": {"cert-manager.io"},
    "Gateway API": {"gateway.networking.k8s.io"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("kubernetes")) as started:
        create_namespace(started.client, _NAMESPACE)
        yield started


@pytest.fixture(params=_SECTIONS)
def objects(request: pytest.FixtureRequest, server: ApiServer) -> Iterator[list[Manifest]]:
    """What the stack makes for an operator, whose kinds the API server knows."""
    kinds = _KINDS[request.param]
    made = [item for (kind, _), item in dev_with(**_SECTIONS[request.param]).items() if kind in kinds]
    assert {item["kind"] for item in made} == kinds
    for item in made:
        item["metadata"] = {**item["metadata"], "namespace": _NAMESPACE}
    with installed_kinds(server.client, _GROUPS[request.param]):
        yield deepcopy(made)


def test_the_objects_of_an_operator_are_accepted(objects: list[Manifest], server: ApiServer) -> None:
    apply_strictly(server.client, _NAMESPACE, objects)
    objects[0]["spec"]["unknownField"] = 1
    with pytest.raises(ApiException, match="unknownField"):
        apply_strictly(server.client, _NAMESPACE, objects[:1])


def test_the_objects_for_argo_rollouts_are_accepted(server: ApiServer) -> None:
    made = with_rollouts(list(dev_with().values()), load("dev"))
    objects = [item for item in made if item["apiVersion"].startswith("argoproj.io/")]
    assert {item["kind"] for item in objects} == {"Rollout", "AnalysisTemplate"}
    with installed_kinds(server.client, {"argoproj.io"}):
        objects = [{**item, "metadata": {**item["metadata"], "namespace": _NAMESPACE}} for item in objects]
        apply_strictly(server.client, _NAMESPACE, objects)
        objects[0]["spec"]["unknownField"] = 1
        with pytest.raises(ApiException, match="unknownField"):
            apply_strictly(server.client, _NAMESPACE, objects[:1])
