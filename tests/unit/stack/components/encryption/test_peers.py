"""The traffic among the pods of one program: certificates of an authority of their own, on both sides."""

from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from contracts import endpoints, secret_keys
from contracts.metadata import Manifest
from stack.components.encryption.authority import Authority
from tests.support.pod_template import pod
from tests.support.program import dev_with

ON = {"telemetry": True}
SEED = f"value-of-{secret_keys.AUTHORITY_SEED}"


def accepts(authority: Authority, certificate: str, name: str) -> bool:
    """Whether both a server and a client that trust the authority accept the certificate."""
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    policy = PolicyBuilder().store(Store([x509.load_pem_x509_certificate(authority.certificate.encode())]))
    try:
        policy.build_client_verifier().verify(loaded, [])
        policy.build_server_verifier(x509.DNSName(name)).verify(loaded, [])
    except VerificationError:
        return False
    return True


@pytest.fixture(scope="module")
def alertmanagers() -> dict[tuple[str, str], Manifest]:
    return dev_with(encryption=ON, alerting={"replicas": 2})


def test_alertmanagers_know_each_other_by_certificates(alertmanagers: dict[tuple[str, str], Manifest]) -> None:
    files = alertmanagers["ConfigMap", "alertmanager-config"]["data"]
    template = pod(alertmanagers["StatefulSet", endpoints.ALERTMANAGER])
    (container,) = template["containers"]
    assert "--cluster.tls-config=/etc/alertmanager/cluster-tls.yml" in container["args"]
    config = yaml.safe_load(files["cluster-tls.yml"])
    own = {"cert_file": "/etc/peers/tls.crt", "key_file": "/etc/peers/tls.key", "min_version": "TLS13"}
    ca = "/etc/alertmanager/peers-ca.crt"
    assert config == {
        "tls_server_config": {
            **own,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": ca,
        },
        "tls_client_config": {**own, "ca_file": ca, "server_name": "alertmanager"},
    }
    group = Authority(SEED, "alertmanager-peers")
    assert files["peers-ca.crt"] == group.certificate
    certificates = alertmanagers["Secret", "alertmanager-peers-certificate"]["stringData"]
    assert accepts(group, certificates["tls.crt"], "alertmanager")
    mounts = {item["mountPath"]: item for item in container["volumeMounts"]}
    (volume,) = [item for item in template["volumes"] if item["name"] == mounts["/etc/peers"]["name"]]
    assert volume["secret"]["secretName"] == "alertmanager-peers-certificate"


def test_no_certificate_of_another_authority_opens_a_port_of_peers(
    alertmanagers: dict[tuple[str, str], Manifest],
) -> None:
    group = Authority(SEED, "alertmanager-peers")
    others = [
        item["stringData"]["tls.crt"]
        for (kind, name), item in alertmanagers.items()
        if kind == "Secret" and "tls.crt" in item.get("stringData", {}) and name != "alertmanager-peers-certificate"
    ]
    assert len(others) >= 4
    assert not any(accepts(group, other, "alertmanager") for other in others)
    own = alertmanagers["Secret", "alertmanager-peers-certificate"]["stringData"]["tls.crt"]
    assert not accepts(Authority(SEED), own, "alertmanager")


@pytest.mark.parametrize(("encryption", "protocols"), [({}, {"TCP", "UDP"}), (ON, {"TCP"})])
def test_alertmanagers_with_tls_need_no_udp(encryption: dict[str, Any], protocols: set[str]) -> None:
    objects = dev_with(encryption=encryption, alerting={"replicas": 2})
    policy = objects["NetworkPolicy", endpoints.ALERTMANAGER]["spec"]
    for direction in ("ingress", "egress"):
        ports = [port for rule in policy[direction] for port in rule.get("ports", []) if port["port"] == 9094]
        assert {port["protocol"] for port in ports} == protocols


def test_a_single_alertmanager_has_no_peers() -> None:
    objects = dev_with(encryption=ON)
    assert ("Secret", "alertmanager-peers-certificate") not in objects
    assert "cluster-tls.yml" not in objects["ConfigMap", "alertmanager-config"]["data"]
