"""`encryption.services`: what the services, their clients and the way in from outside get."""

from typing import Any

import pytest
import yaml

from contracts import endpoints, secret_keys
from contracts.services import CRAWLER, GATEWAY, SERVICES, TASK_MANAGER
from stack.components.encryption.authority import Authority
from stack.components.encryption.settings import EncryptionValue
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.configuration import config, refusal
from tests.support.pod_template import environment
from tests.support.program import dev_with
from tests.support.proxied_pods import Objects, pod, proxied_ports, require_tls_of_probes

AUTHORITY = Authority(f"value-of-{secret_keys.AUTHORITY_SEED}").certificate
YOUR_GRAFANA = {"external": {"api": {}}, "url": "https://grafana.example.com"}
PROTECTED = (*SERVICES, endpoints.PROBE, endpoints.GRAFANA_PUBLISHER)
API = {"host": "tasks.example.com", "reason": "Customers submit their tasks here"}


@pytest.fixture(scope="module")
def objects() -> Objects:
    return dev_with(encryption={"services": True}, grafana=YOUR_GRAFANA)


def variables(objects: Objects, name: str) -> dict[str, Any]:
    (container,) = pod(objects, name)["containers"]
    return environment(container)


@pytest.mark.parametrize("name", PROTECTED)
def test_each_program_listens_for_its_proxy_alone(objects: Objects, name: str) -> None:
    assert pod(objects, name)["initContainers"][0]["name"] == "proxy"
    assert proxied_ports(objects, name) == {endpoints.SERVICE_PORT}
    assert variables(objects, name)["HOST"] == "127.0.0.1"
    require_tls_of_probes(objects, name)
    assert "tokens" not in objects["ConfigMap", f"{name}-proxy"]["data"]["haproxy.cfg"]


def test_callers_verify_the_services(objects: Objects) -> None:
    gateway = f"https://gateway:{endpoints.SERVICE_PORT}"
    assert variables(objects, GATEWAY)["TASK_MANAGER_URL"] == f"https://task-manager:{endpoints.SERVICE_PORT}"
    assert variables(objects, endpoints.PROBE)["GATEWAY_URL"] == gateway
    for name, variable in ((GATEWAY, "TASK_MANAGER_CA"), (CRAWLER, "CRAWLER_CA"), (endpoints.PROBE, "GATEWAY_CA")):
        assert variables(objects, name)[variable] == AUTHORITY


def test_prometheus_scrapes_with_tls_and_without_a_token(objects: Objects) -> None:
    document = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    encrypted = {job["job_name"]: job for job in document["scrape_configs"] if job.get("scheme") == "https"}
    assert encrypted.keys() == {*PROTECTED}
    for job in encrypted.values():
        assert job["tls_config"]["server_name"] == endpoints.SCRAPED
        assert "authorization" not in job
    (prometheus,) = pod(objects, endpoints.PROMETHEUS)["containers"]
    assert "/etc/prometheus-authority" in {item["mountPath"] for item in prometheus["volumeMounts"]}


@pytest.mark.parametrize(("switch", "scheme"), [("accepted", "http"), ("preferred", "https")])
def test_a_running_stack_gets_there_in_steps(switch: EncryptionValue, scheme: str) -> None:
    objects = dev_with(encryption={"services": switch})
    assert "either-8080" in objects["ConfigMap", f"{TASK_MANAGER}-proxy"]["data"]["haproxy.cfg"]
    assert variables(objects, GATEWAY)["TASK_MANAGER_URL"].startswith(f"{scheme}://")
    assert ("TASK_MANAGER_CA" in variables(objects, GATEWAY)) == (scheme == "https")
    require_tls_of_probes(objects, TASK_MANAGER)


def test_all_versions_of_a_rollout_share_the_files_of_the_proxy() -> None:
    split = {"stable": 1, "baseline": 1, "canary": 1}
    release = {
        "image": "registry.example.com/web-crawl-service:0.0.9",
        "tracing": {},
        **dict.fromkeys(("gateway", "taskManager", "crawler"), split),
    }
    objects = dev_with(encryption={"services": True}, release=release)
    for name in ("gateway", "gateway-baseline", "gateway-canary"):
        assert {"name": "etc-proxy", "configMap": {"name": "gateway-proxy"}} in pod(objects, name)["volumes"]


def test_a_gateway_api_knows_the_authority_of_the_gateway() -> None:
    ingress = {"api": "HTTPRoute", "gateway": {"name": "public", "namespace": "gateways"}, "taskApi": API}
    objects = dev_with(encryption={"services": True}, ingress=ingress)
    assert objects["BackendTLSPolicy", "gateway-tls"]["spec"] == {
        "targetRefs": [{"group": "", "kind": "Service", "name": "gateway"}],
        "validation": {
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "stack-authority"}],
            "hostname": "gateway",
        },
    }
    assert objects["ConfigMap", "stack-authority"]["data"] == {"ca.crt": AUTHORITY}
    assert not [kind for kind, _ in dev_with(ingress=ingress) if kind == "BackendTLSPolicy"]


def test_an_ingress_needs_annotations() -> None:
    ingress = {"tls": {"clusterIssuer": "letsencrypt"}, "taskApi": API}
    message = refusal(encryption={"services": True}, ingress=ingress)
    assert "ingress.serviceAnnotations" in message
    annotations = {"traefik.ingress.kubernetes.io/service.serversscheme": "https"}
    objects = dev_with(encryption={"services": True}, ingress={**ingress, "serviceAnnotations": annotations})
    assert annotations.items() <= objects["Service", GATEWAY]["metadata"]["annotations"].items()
    assert not annotations.keys() & objects["Service", TASK_MANAGER]["metadata"].get("annotations", {}).keys()


def test_it_needs_services_and_the_seed() -> None:
    assert "services.enabled" in refusal(encryption={"services": True}, services={"enabled": False})
    assert secret_keys.AUTHORITY_SEED in needed_secrets(parse(config(encryption={"services": True}), "test"))
