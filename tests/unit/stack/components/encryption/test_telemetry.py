"""`encryption.telemetry`: what the stores, the Collectors and their clients get."""

import pytest
import yaml

from contracts import endpoints, secret_keys
from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.components.encryption.authority import Authority
from stack.components.encryption.proxy.config import MONITOR
from stack.components.encryption.settings import STEPS, EncryptionValue
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.configuration import config
from tests.support.pod_template import environment
from tests.support.program import dev_with
from tests.support.proxied_pods import pod, proxied_ports, require_tls_of_probes

ON = {"telemetry": True}
AUTHORITY = Authority(f"value-of-{secret_keys.AUTHORITY_SEED}").certificate
PROTECTED = (
    endpoints.COLLECTOR,
    endpoints.SAMPLER,
    endpoints.TEMPO,
    endpoints.PROMETHEUS,
    endpoints.LOKI,
    endpoints.ALERTMANAGER,
)
PLAIN = {endpoints.COLLECTOR_HEALTH_PORT, endpoints.OTLP_GRPC_PORT, endpoints.OTLP_HTTP_PORT}
"""Ports of the Collectors without a proxy: health, and the receivers, which have TLS of their own."""


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Manifest]:
    return dev_with(encryption=ON, collector={"sampling": {"ratio": 0.5}})


@pytest.mark.parametrize("name", PROTECTED)
def test_each_port_has_the_proxy(objects: dict[tuple[str, str], Manifest], name: str) -> None:
    containers = pod(objects, name)
    proxy = containers["initContainers"][0]
    assert proxy["name"] == "proxy"
    all_containers = [*containers["containers"], *containers["initContainers"]]
    declared = {port["containerPort"] for item in all_containers for port in item.get("ports", [])}
    plain = PLAIN if name in (endpoints.COLLECTOR, endpoints.SAMPLER) else set()
    assert proxied_ports(objects, name) == declared - plain


@pytest.mark.parametrize("name", PROTECTED)
def test_each_probe_of_a_proxied_port_has_tls(objects: dict[tuple[str, str], Manifest], name: str) -> None:
    for path in require_tls_of_probes(objects, name):
        assert path == MONITOR or f" {path} " in objects["ConfigMap", f"{name}-proxy"]["data"]["haproxy.cfg"]


def test_prometheus_scrapes_and_sends_alerts_with_tls_and_the_token(
    objects: dict[tuple[str, str], Manifest],
) -> None:
    config = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    in_clear = {name for name, job in jobs.items() if "scheme" not in job}
    assert in_clear == {*SERVICES, endpoints.PROBE, endpoints.PROMETHEUS}
    secure = [jobs[name] for name in jobs.keys() - in_clear] + config["alerting"]["alertmanagers"]
    for item in secure:
        assert item["scheme"] == "https"
        assert item["tls_config"] == {"ca_file": "/etc/prometheus-authority/ca.crt", "server_name": endpoints.SCRAPED}
        assert item["authorization"] == {"credentials_file": f"/etc/prometheus-secrets/{secret_keys.TELEMETRY_TOKEN}"}
    assert objects["ConfigMap", "stack-authority"]["data"]["ca.crt"] == AUTHORITY


def test_collectors_and_samplers_send_with_tls_and_the_token(objects: dict[tuple[str, str], Manifest]) -> None:
    for name, exporters in (("collector", 2), ("sampler", 1)):
        config = yaml.safe_load(objects["ConfigMap", f"{name}-config"]["data"]["config.yaml"])
        sent = {key: value for key, value in config["exporters"].items() if key.startswith("otlp")}
        assert len(sent) == exporters
        for exporter in sent.values():
            assert exporter["tls"] == {"ca_pem": AUTHORITY}
            assert exporter["headers"] == {"Authorization": "${env:TELEMETRY_AUTHORIZATION}"}
        (container,) = pod(objects, name)["containers"]
        names = [item["name"] for item in container["env"]]
        assert names.count("TELEMETRY_AUTHORIZATION") == 1
        assert environment(container)["TELEMETRY_AUTHORIZATION"] == secret_keys.TELEMETRY_AUTHORIZATION


def test_services_and_probe_verify_the_collectors(objects: dict[tuple[str, str], Manifest]) -> None:
    config = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    for protocol in config["receivers"]["otlp"]["protocols"].values():
        assert protocol["tls"]["reload_interval"] == "10s"
        assert protocol["auth"] == {"authenticator": "bearertokenauth"}
    for name in SERVICES:
        (container,) = pod(objects, name)["containers"]
        values = environment(container)
        assert values["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector:4318"
        assert values["OTEL_EXPORTER_OTLP_CERTIFICATE"] == "/etc/collector-authority/ca.crt"
        assert "/etc/collector-authority" in {item["mountPath"] for item in container["volumeMounts"]}
    (probe,) = pod(objects, endpoints.PROBE)["containers"]
    values = environment(probe)
    assert values["COLLECTOR_URL"] == "https://collector:4318"
    for store in ("COLLECTOR", "TRACES", "PROMETHEUS", "LOKI"):
        assert values[f"{store}_CA"] == AUTHORITY
        assert values[f"{store}_URL"].startswith("https://")


def test_grafana_queries_with_tls_and_the_token(objects: dict[tuple[str, str], Manifest]) -> None:
    document = yaml.safe_load(objects["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"])
    assert len(document["datasources"]) == 4
    for source in document["datasources"]:
        assert source["url"].startswith("https://")
        assert source["jsonData"]["tlsAuthWithCACert"]
        assert source["secureJsonData"]["tlsCACert"] == AUTHORITY
        assert source["secureJsonData"]["httpHeaderValue1"] == "$TELEMETRY_AUTHORIZATION"
    (container,) = pod(objects, endpoints.GRAFANA)["containers"]
    assert environment(container)["TELEMETRY_AUTHORIZATION"] == secret_keys.TELEMETRY_AUTHORIZATION


def test_the_secret_has_the_tokens_in_each_form(objects: dict[tuple[str, str], Manifest]) -> None:
    values = objects["Secret", secret_keys.SECRET]["stringData"]
    token = values[secret_keys.TELEMETRY_TOKEN]
    assert values[secret_keys.TELEMETRY_AUTHORIZATION] == f"Bearer {token}"
    assert values[secret_keys.TELEMETRY_TOKENS].splitlines()[0] == token


def test_it_needs_the_seed_and_a_token_only_if_it_is_on() -> None:
    keys = {secret_keys.AUTHORITY_SEED, secret_keys.TELEMETRY_TOKEN}
    assert keys <= {*needed_secrets(parse(config(encryption=ON), "test"))}
    assert not keys & {*needed_secrets(parse(config(), "test"))}


def used(objects: dict[tuple[str, str], Manifest]) -> dict[str, set[str]]:
    """Client → the schemes of its connections to the stack's telemetry."""
    prometheus = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    jobs = [job for job in prometheus["scrape_configs"] if job["job_name"] in {*PROTECTED} - {endpoints.PROMETHEUS}]
    grafana = yaml.safe_load(objects["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"])
    servers = [*jobs, *prometheus["alerting"]["alertmanagers"]]
    schemes = {
        endpoints.PROMETHEUS: {item.get("scheme", "http") for item in servers},
        endpoints.GRAFANA: {scheme(source["url"]) for source in grafana["datasources"]},
    }
    for name in (endpoints.COLLECTOR, endpoints.SAMPLER):
        config = yaml.safe_load(objects["ConfigMap", f"{name}-config"]["data"]["config.yaml"])
        sent = [value for key, value in config["exporters"].items() if key.startswith("otlp")]
        schemes[name] = {"https" if "ca_pem" in item.get("tls", {}) else "http" for item in sent}
    for name in SERVICES:
        schemes[name] = {scheme(environment(pod(objects, name)["containers"][0])["OTEL_EXPORTER_OTLP_ENDPOINT"])}
    values = environment(pod(objects, endpoints.PROBE)["containers"][0])
    stores = ("COLLECTOR", "TRACES", "PROMETHEUS", "LOKI")
    return schemes | {endpoints.PROBE: {scheme(values[f"{store}_URL"]) for store in stores}}


def scheme(url: str) -> str:
    return url.partition("://")[0]


@pytest.mark.parametrize("value", STEPS, ids=str)
def test_each_client_takes_the_step(value: EncryptionValue) -> None:
    objects = dev_with(encryption={"telemetry": value}, collector={"sampling": {"ratio": 0.5}})
    expected = {"https" if STEPS[value].speaks_tls else "http"}
    assert {client: schemes for client, schemes in used(objects).items() if schemes != expected} == {}
