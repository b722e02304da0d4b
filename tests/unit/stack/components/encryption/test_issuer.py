"""`encryption.issuer`: what cert-manager is asked for, what the own authority still signs, and who trusts it."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from contracts import endpoints, secret_keys
from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.components.encryption.authority import Authority
from stack.deploy.certificates import CERTIFICATE_TYPE
from stack.deploy.render import as_yaml, record
from stack.settings import PROJECT, effective_config, parse
from stack.settings.certificates import certified
from tests.support.configuration import config, refusal
from tests.support.large_stack import LARGE
from tests.support.pod_template import environment, pod
from tests.support.program import dev_with

Objects = Mapping[tuple[str, str], Manifest]

THEIRS = Authority("the authority of the issuer, which others use as well")
OWN = Authority(f"value-of-{secret_keys.AUTHORITY_SEED}").certificate
ISSUER = {"name": "private", "authority": THEIRS.certificate}
ALL = {"kafka": True, "postgres": True, "telemetry": True, "services": True}
OF_CALLERS = {
    "kafka-certificate",
    "kafka-users-certificate",
    "tempo-kafka-certificate",
    "alertmanager-peers-certificate",
    "loki-peers-certificate",
    "tempo-peers-certificate",
}


@pytest.fixture(scope="module")
def objects() -> Objects:
    return dev_with(encryption={**ALL, "issuer": ISSUER}, **LARGE)


def issued(objects: Objects) -> dict[str, dict[str, Any]]:
    """Name → specification of each `Certificate`."""
    return {name: item["spec"] for (kind, name), item in objects.items() if kind == "Certificate"}


def test_cert_manager_is_asked_for_the_certificate_of_each_server(objects: Objects) -> None:
    servers = {*SERVICES, *(endpoints.POSTGRES, endpoints.KAFKA, endpoints.COLLECTOR, endpoints.SAMPLER)}
    servers |= {endpoints.PROBE, endpoints.PROMETHEUS, endpoints.LOKI, endpoints.ALERTMANAGER, endpoints.TEMPO}
    assert {f"{name}-issued" for name in servers} <= issued(objects).keys()
    assert issued(objects)["collector-issued"] == {
        "secretName": "collector-issued",
        "secretTemplate": {
            "labels": {
                "app.kubernetes.io/name": "collector-issued",
                "app.kubernetes.io/part-of": "web-crawl-tracing",
                "app.kubernetes.io/component": "collector",
                "app.kubernetes.io/managed-by": "cert-manager",
            }
        },
        "commonName": "collector",
        "dnsNames": [
            "collector",
            "collector.tracing",
            "collector.tracing.svc",
            "collector.tracing.svc.cluster.local",
            "collector-pods",
            "scraped",
            "localhost",
        ],
        "usages": ["digital signature", "server auth"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
        "additionalOutputFormats": [{"type": "CombinedPEM"}],
        "duration": "2160h",
        "revisionHistoryLimit": 1,
        "issuerRef": {"name": "private", "kind": "ClusterIssuer", "group": "cert-manager.io"},
    }
    kafka = issued(objects)["kafka-issued"]
    assert kafka["ipAddresses"] == ["127.0.0.1"]
    assert {"kafka", *(f"kafka-{number}.kafka-pods" for number in range(3))} <= {*kafka["dnsNames"]}


def test_what_the_issuer_signs_lets_no_one_in(objects: Objects) -> None:
    """An authority that others use as well must not say who calls."""
    assert not [name for name, spec in issued(objects).items() if "client auth" in spec["usages"]]
    made = {name for (kind, name), item in objects.items() if kind == "Secret" and "tls.crt" in item["stringData"]}
    assert made == OF_CALLERS


@pytest.mark.parametrize("name", ["kafka-0", "kafka-2"])
def test_brokers_know_each_other_by_the_own_authority_and_show_clients_what_the_issuer_signed(
    objects: Objects, name: str
) -> None:
    files = objects["ConfigMap", "kafka-config"]["data"]
    properties = dict(line.split("=", 1) for line in files[f"{name}.properties"].splitlines())
    assert files["ca.crt"] == OWN
    assert properties["ssl.truststore.location"] == "/etc/kafka-config/ca.crt"
    assert properties["ssl.keystore.location"] == "/etc/kafka-certificate/tls-combined.pem"
    assert properties["listener.name.client.ssl.keystore.location"] == "/etc/kafka-client-certificate/tls-combined.pem"
    asking = {key.split(".")[2] for key in properties if key.endswith("ssl.client.auth")}
    assert asking == {"broker_tls", "proxied", "controller_tls"}
    assert mounted(objects["StatefulSet", "kafka"]) >= {"kafka-certificate", "kafka-issued"}


def test_the_pod_that_writes_users_lets_brokers_read_both_certificates(objects: Objects) -> None:
    users = objects["Deployment", "kafka-users"]
    variables = environment(pod(users)["containers"][0])
    assert variables["CLIENT_KEYSTORE"] == "/etc/kafka-client-certificate/tls-combined.pem"
    assert variables["CLIENT_CERTIFICATE"] == "/etc/kafka-client-certificate/tls.crt"
    assert objects["ConfigMap", "kafka-users-config"]["data"]["clients-ca.crt"] == THEIRS.certificate
    assert objects["ConfigMap", "kafka-users-config"]["data"]["ca.crt"] == OWN
    secrets = [item["secret"] for item in pod(users)["volumes"] if "secret" in item]
    files = {item["secretName"]: item["items"] for item in secrets}
    assert files["kafka-issued"] == [{"key": "tls.crt", "path": "tls.crt"}]


def test_clients_trust_the_authority_of_the_issuer(objects: Objects) -> None:
    for (kind, name), item in objects.items():
        if kind in ("Deployment", "StatefulSet"):
            for variable in [each for container in pod(item)["containers"] for each in container.get("env", [])]:
                assert not variable["name"].endswith("_CA") or variable["value"] == THEIRS.certificate, name
    assert objects["ConfigMap", "stack-authority"]["data"]["ca.crt"] == THEIRS.certificate
    assert objects["ConfigMap", "postgres-ca"]["data"]["ca.crt"] == THEIRS.certificate
    collector = yaml.safe_load(objects["ConfigMap", "collector-config"]["data"]["config.yaml"])
    assert collector["exporters"]["kafka/traces"]["tls"] == {"ca_pem": THEIRS.certificate}
    # The own authority is known to those who ask for certificates of callers.
    text = json.dumps(OWN)[1:-1]
    known = {name for (kind, name), item in objects.items() if kind == "ConfigMap" and text in json.dumps(item)}
    assert known == {"kafka-config", "kafka-users-config", "tempo-kafka-proxy", "stack-authority"}
    assert objects["ConfigMap", "stack-authority"]["data"]["own.crt"] == OWN, "for a way back, and for no client"


def mounted(workload: Manifest) -> set[str]:
    """The names of the Secrets that pods mount."""
    return {item["secret"]["secretName"] for item in pod(workload).get("volumes", []) if "secret" in item}


@pytest.mark.parametrize("step", ["accepted", "preferred", True])
@pytest.mark.parametrize("part", ["kafka", "telemetry", "services"])
def test_each_secret_that_pods_mount_is_made(part: str, step: object) -> None:
    objects = dev_with(encryption={part: step, "issuer": ISSUER}, **LARGE)
    made = {name for kind, name in objects if kind == "Secret"} | {
        spec["secretName"] for spec in issued(objects).values()
    }
    workloads = [item for (kind, _), item in objects.items() if kind in ("Deployment", "StatefulSet")]
    assert {name for item in workloads for name in mounted(item)} <= made
    assert issued(objects)


def certificates_of_the_probe(objects: Objects) -> Iterator[tuple[str, str]]:
    """Yield the folder and the Secret of each certificate that the probe has."""
    spec = pod(objects["Deployment", "probe"])
    mounts = {item["name"]: item["mountPath"] for item in spec["containers"][0]["volumeMounts"]}
    for volume in spec["volumes"]:
        folder = mounts.get(volume["name"], "")
        if folder.startswith("/etc/certificates/"):
            assert volume["secret"]["items"] == [{"key": "tls.crt", "path": "tls.crt"}]
            yield folder.removeprefix("/etc/certificates/"), volume["secret"]["secretName"]


def test_the_probe_knows_when_each_certificate_ends(objects: Objects) -> None:
    known = dict(certificates_of_the_probe(objects))
    assert {*known.values()} == {*issued(objects), *OF_CALLERS}
    assert known["kafka"] == "kafka-issued"
    assert known["kafka-brokers"] == "kafka-certificate"


def test_an_issuer_may_be_of_the_namespace_or_of_another_project() -> None:
    theirs = {**ISSUER, "kind": "AWSPCAClusterIssuer", "group": "awspca.cert-manager.io", "hours": 24}
    spec = issued(dev_with(encryption={"postgres": True, "issuer": theirs}))["postgres-issued"]
    assert spec["issuerRef"] == {"name": "private", "kind": "AWSPCAClusterIssuer", "group": "awspca.cert-manager.io"}
    assert spec["duration"] == "24h"
    spec = issued(dev_with(encryption={"postgres": True, "issuer": {**ISSUER, "kind": "Issuer"}}))["postgres-issued"]
    assert spec["issuerRef"]["kind"] == "Issuer"


def test_no_other_name_of_a_secret_is_that_of_the_own_authority() -> None:
    """While a deployment exchanges the issuer, each Secret has one owner."""
    own, theirs = (
        {item.secret for item in certified(parse(config(encryption={**ALL, **issuer}), "test"))}
        for issuer in ({}, {"issuer": ISSUER})
    )
    assert own & theirs == {"kafka-certificate", "kafka-users-certificate"}


def test_manifests_for_review_have_a_reference_for_each_certificate_of_a_caller() -> None:
    settings = effective_config("dev") | {f"{PROJECT}:encryption": {**ALL, "issuer": ISSUER}}
    references = {f"{PROJECT}:{key}": f"${{{key}}}" for key in secret_keys.ALL}
    manifests = record("dev", settings | references).manifests
    secrets = [item for item in manifests if item.get("type") == CERTIFICATE_TYPE]
    assert {item["metadata"]["name"] for item in secrets} == {"kafka-certificate", "kafka-users-certificate"}
    assert all(value.startswith("${") for secret in secrets for value in secret["stringData"].values())
    text = as_yaml(manifests)
    assert "pulumi.com/" not in text
    assert THEIRS.certificate.splitlines()[1] in text


def test_without_it_nothing_of_it_is_declared() -> None:
    assert not issued(dev_with(encryption=ALL))


LEAF = THEIRS.issue("collector", ["collector"], datetime(2026, 11, 30, tzinfo=UTC)).certificate


@pytest.mark.parametrize(
    ("encryption", "reason"),
    [
        ({"issuer": ISSUER}, "encryption: issuer is not used: nothing is encrypted"),
        (
            {"trustedAuthorities": THEIRS.certificate},
            "encryption: trustedAuthorities is not used: nothing is encrypted",
        ),
        ({"postgres": True, "trustedAuthorities": LEAF}, "trustedAuthorities: it has a certificate that is none of an"),
        ({"postgres": True, "issuer": {"name": "private"}}, "authority"),
        ({"postgres": True, "issuer": {**ISSUER, "authority": "private"}}, "authority"),
        ({"postgres": True, "issuer": {**ISSUER, "authority": LEAF}}, "none of an authority"),
        ({"postgres": True, "issuer": {**ISSUER, "authority": THEIRS.certificate + LEAF}}, "none of an authority"),
        ({"postgres": True, "issuer": {**ISSUER, "kind": "Vault"}}, "cert-manager.io has the kinds Issuer and"),
        ({"postgres": True, "issuer": {**ISSUER, "hours": 1}}, "hours"),
    ],
)
def test_what_cannot_work_is_refused(encryption: dict[str, Any], reason: str) -> None:
    assert reason in refusal(encryption=encryption)


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])
def test_a_private_key_between_authorities_is_refused_and_not_shown(kind: str) -> None:
    key = THEIRS.issue("collector", ["collector"], datetime(2026, 11, 30, tzinfo=UTC)).key.replace("PRIVATE KEY", kind)
    authorities = THEIRS.certificate + key + THEIRS.certificate
    message = refusal(encryption={"telemetry": True, "trustedAuthorities": authorities})
    assert "encryption.trustedAuthorities: a secret in clear (its value is not shown)" in message
    assert not any(line in message for line in key.splitlines()[1:-1])


def test_an_authority_with_characters_that_are_not_ascii_is_refused() -> None:
    authority = THEIRS.certificate + "# Behörde\n" + THEIRS.certificate
    message = refusal(encryption={"telemetry": True, "issuer": {**ISSUER, "authority": authority}})
    assert "encryption.issuer.authority: it has characters that are not ASCII" in message


def test_a_step_that_does_not_exist_is_refused_with_one_line_that_names_the_key() -> None:
    message = refusal(encryption={"telemetry": "yes"})
    assert message.splitlines()[1:] == [
        "  encryption.telemetry: 'yes': input should be false, accepted, preferred or true"
    ]
