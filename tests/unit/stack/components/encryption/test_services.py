"""`encryption.services`: what the services, their clients and the way in from outside get."""

from typing import Any

import pytest
import yaml
from cryptography import x509

from contracts import endpoints, secret_keys
from contracts.services import CRAWLER, GATEWAY, SERVICES, TASK_MANAGER
from stack.components.encryption.authority import Authority
from stack.components.encryption.settings import EncryptionValue
from stack.settings import PROJECT, parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.configuration import config, refusal
from tests.support.pod_template import environment
from tests.support.program import dev_with, pipeline_config, recorded
from tests.support.proxied_pods import Objects, pod, proxied_ports, require_tls_of_probes

AUTHORITY = Authority(f"value-of-{secret_keys.AUTHORITY_SEED}").certificate
YOUR_GRAFANA = {"external": {"api": {}}, "url": "https://grafana.example.com"}
PROTECTED = (*SERVICES, endpoints.PROBE, endpoints.GRAFANA_PUBLISHER)
GRAFANA = {"url": "https://grafana.example.com"}
OPEN = {
    "taskApi": {"host": "tasks.example.com", "reason": "Customers submit their tasks here"},
    "grafana": {"reason": "On-call engineers work here"},
}
SECRETS = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.ALL}


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


def test_grafana_listens_for_its_proxy_alone() -> None:
    objects = dev_with(encryption={"services": True}, grafana={"url": "https://example.com/grafana"})
    assert proxied_ports(objects, endpoints.GRAFANA) == {endpoints.GRAFANA_PORT}
    assert variables(objects, endpoints.GRAFANA)["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    paths = require_tls_of_probes(objects, endpoints.GRAFANA)
    assert {*paths} == {endpoints.GRAFANA_HEALTH, f"/grafana{endpoints.GRAFANA_ALIVE}"}
    assert "tokens" not in objects["ConfigMap", "grafana-proxy"]["data"]["haproxy.cfg"], "users sign in at Grafana"
    assert ("Secret", "grafana-certificate") in objects


@pytest.mark.parametrize("switch", ["accepted", "preferred"])
def test_grafana_takes_both_on_the_way(switch: EncryptionValue) -> None:
    objects = dev_with(encryption={"services": switch})
    assert "either-3000" in objects["ConfigMap", "grafana-proxy"]["data"]["haproxy.cfg"]
    require_tls_of_probes(objects, endpoints.GRAFANA)


def test_a_stack_without_services_encrypts_its_grafana() -> None:
    made = recorded("test", {**pipeline_config(encryption={"services": True}), **SECRETS}).manifests
    objects = {(item["kind"], item["metadata"]["name"]): item for item in made}
    assert proxied_ports(objects, endpoints.GRAFANA) == {endpoints.GRAFANA_PORT}


def test_a_gateway_api_knows_the_authority_of_what_it_leads_to() -> None:
    ingress = {"api": "HTTPRoute", "gateway": {"name": "public", "namespace": "gateways"}, **OPEN}
    objects = dev_with(encryption={"services": True}, ingress=ingress, grafana=GRAFANA)
    for name in (GATEWAY, endpoints.GRAFANA):
        assert objects["BackendTLSPolicy", f"{name}-tls"]["spec"] == {
            "targetRefs": [{"group": "", "kind": "Service", "name": name}],
            "validation": {
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "stack-authority"}],
                "hostname": name,
            },
        }
    assert objects["ConfigMap", "stack-authority"]["data"]["ca.crt"] == AUTHORITY
    for encryption in ({}, {"services": "accepted"}):
        in_clear = dev_with(encryption=encryption, ingress=ingress, grafana=GRAFANA)
        assert not [kind for kind, _ in in_clear if kind == "BackendTLSPolicy"]


def test_an_ingress_needs_annotations_for_each_service() -> None:
    ingress = {"tls": {"clusterIssuer": "letsencrypt"}, **OPEN}
    sections = {"encryption": {"services": True}, "grafana": GRAFANA}
    assert "ingress.serviceAnnotations and ingress.grafana.serviceAnnotations" in refusal(**sections, ingress=ingress)
    scheme = "traefik.ingress.kubernetes.io/service.serversscheme"
    annotated = {**ingress, "serviceAnnotations": {scheme: "https"}}
    assert "in ingress.annotations, or in ingress.grafana.serviceAnnotations:" in refusal(**sections, ingress=annotated)
    both = {**annotated, "grafana": {**OPEN["grafana"], "serviceAnnotations": {scheme: "https"}}}
    objects = dev_with(**sections, ingress=both)
    services = {
        name: item["metadata"].get("annotations", {}) for (kind, name), item in objects.items() if kind == "Service"
    }
    assert {name for name, annotations in services.items() if scheme in annotations} == {GATEWAY, endpoints.GRAFANA}
    nginx = {
        "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
        "nginx.ingress.kubernetes.io/proxy-ssl-verify": "on",
        "nginx.ingress.kubernetes.io/proxy-ssl-name": endpoints.SCRAPED,
        "nginx.ingress.kubernetes.io/proxy-ssl-secret": "tracing/ingress-authority",
    }
    objects = dev_with(**sections, ingress={**ingress, "annotations": nginx})
    for name in (GATEWAY, endpoints.GRAFANA):
        assert objects["Ingress", name]["metadata"]["annotations"].items() >= nginx.items()
        certificate = objects["Secret", f"{name}-certificate"]["stringData"]["tls.crt"].encode()
        names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert endpoints.SCRAPED in names.value.get_values_for_type(x509.DNSName)


NGINX = "nginx.ingress.kubernetes.io/backend-protocol"
TRAEFIK = "traefik.ingress.kubernetes.io/service.serversscheme"


@pytest.mark.parametrize(
    ("place", "name", "reason"),
    [
        ("annotations", TRAEFIK, f"annotations: Traefik reads {TRAEFIK} of a Service alone"),
        ("serviceAnnotations", NGINX, f"serviceAnnotations: NGINX reads {NGINX} of an Ingress alone"),
    ],
)
def test_an_annotation_where_its_controller_does_not_read_it_is_refused(place: str, name: str, reason: str) -> None:
    ingress = {"tls": {"clusterIssuer": "letsencrypt"}, **OPEN}
    assert reason in refusal(grafana=GRAFANA, ingress={**ingress, place: {name: "https"}})
    if place == "serviceAnnotations":
        grafana = {**OPEN["grafana"], place: {name: "https"}}
        assert f"grafana.{reason}" in refusal(grafana=GRAFANA, ingress={**ingress, "grafana": grafana})


@pytest.mark.parametrize(("place", "name"), [("annotations", NGINX), ("serviceAnnotations", TRAEFIK)])
def test_a_controller_that_connects_in_clear_is_refused_where_the_servers_refuse_it(place: str, name: str) -> None:
    ingress = {"tls": {"clusterIssuer": "letsencrypt"}, "taskApi": OPEN["taskApi"], place: {name: "HTTP"}}
    assert f"ingress.{place}: {name}: HTTP tells the controller to connect in clear" in refusal(
        encryption={"services": True}, ingress=ingress
    )
    parse(config(encryption={"services": "preferred"}, ingress=ingress), "test")


@pytest.mark.parametrize("value", [False, "accepted"])
@pytest.mark.parametrize(
    ("name", "annotation"),
    [
        ("annotations", {NGINX: "HTTPS"}),
        ("annotations", {NGINX: "GRPCS"}),
        ("serviceAnnotations", {TRAEFIK: "https"}),
    ],
)
def test_a_controller_connects_in_clear_while_clients_of_the_stack_do(
    value: EncryptionValue, name: str, annotation: dict[str, str]
) -> None:
    ingress = {"tls": {"clusterIssuer": "letsencrypt"}, **OPEN}
    sections: dict[str, Any] = {"encryption": {"services": value}, "grafana": GRAFANA}
    message = refusal(**sections, ingress={**ingress, name: annotation})
    assert f"ingress.{name}: {next(iter(annotation))} tells the controller to connect with TLS" in message
    other = dict.fromkeys(annotation, "http")
    parse(config(**sections, ingress={**ingress, name: other}), "test")


def test_it_needs_a_server_and_the_seed() -> None:
    nothing = {"services": {"enabled": False}, "grafana": {"enabled": False}}
    assert "no publisher of dashboards" in refusal(encryption={"services": True}, **nothing)
    assert secret_keys.AUTHORITY_SEED in needed_secrets(parse(config(encryption={"services": True}), "test"))
