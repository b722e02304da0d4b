"""The traffic among the pods of one program: certificates of an authority of their own, on both sides."""

from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from contracts import endpoints, secret_keys
from contracts.connections import TEMPO_PARTS
from contracts.metadata import Manifest
from stack.components.encryption.authority import Authority
from tests.support.pod_template import pod
from tests.support.program import dev_with

ON = {"telemetry": True}
TEMPO_IN_PARTS = {"objectStorage": {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}, "distributed": {}}
LOKIS = {"replicas": 3, "objectStorage": {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}}
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


def client(name: str, ca: str, version: str = "VersionTLS13") -> dict[str, Any]:
    """What a client of a program's own servers has."""
    return {
        "tls_enabled": True,
        "tls_cert_path": "/etc/peers/tls.crt",
        "tls_key_path": "/etc/peers/tls.key",
        "tls_ca_path": ca,
        "tls_server_name": name,
        "tls_min_version": version,
    }


def server(ca: str) -> dict[str, Any]:
    """What a gRPC server has."""
    return {
        "cert_file": "/etc/peers/tls.crt",
        "key_file": "/etc/peers/tls.key",
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": ca,
    }


def check_gossip(objects: dict[tuple[str, str], Manifest], workload: Manifest, group: str) -> None:
    """Asserts that the proxy of a workload takes gossip, and asks for the certificate of the group."""
    name = workload["metadata"]["name"]
    files = objects["ConfigMap", f"{name}-proxy"]["data"]
    assert files["peers-ca.crt"] == Authority(SEED, group).certificate
    assert (
        'bind "${POD_IP}:7946" ssl crt /etc/peers/tls-combined.pem ca-file /etc/proxy/peers-ca.crt verify required'
    ) in files["haproxy.cfg"]
    template = pod(workload)
    proxy = next(item for item in template["initContainers"] if item["name"] == "proxy")
    assert "/etc/peers/tls-combined.pem" in proxy["command"], "it is loaded again when it changes"
    for container in (proxy, *template["containers"]):
        mounts = {item["mountPath"]: item["name"] for item in container["volumeMounts"]}
        (volume,) = [item for item in template["volumes"] if item["name"] == mounts["/etc/peers"]]
        assert volume["secret"]["secretName"] == f"{group}-certificate"


def test_lokis_know_each_other_by_certificates() -> None:
    objects = dev_with(encryption=ON, logs=LOKIS)
    config = yaml.safe_load(objects["ConfigMap", "loki-config"]["data"]["loki.yaml"])
    ca = "/etc/loki/peers-ca.crt"
    assert config["server"]["grpc_tls_config"] == server(ca)
    assert config["server"]["tls_min_version"] == "VersionTLS13"
    for section in ("ingester_client", "frontend", "frontend_worker", "query_scheduler"):
        assert config[section] == {"grpc_client_config": client("loki", ca)}
    assert config["compactor_grpc_client"] == client("loki", ca)
    gossip = {"bind_addr": ["127.0.0.1"], "advertise_addr": "${POD_IP}", "advertise_port": 7946}
    assert config["memberlist"].items() >= {**gossip, **client("loki", ca, "VersionTLS12")}.items()
    check_gossip(objects, objects["StatefulSet", endpoints.LOKI], "loki-peers")


def test_parts_of_tempo_know_each_other_by_certificates() -> None:
    objects = dev_with(encryption=ON, traces=TEMPO_IN_PARTS)
    config = yaml.safe_load(objects["ConfigMap", "tempo-config"]["data"]["tempo.yaml"])
    ca = "/etc/tempo/peers-ca.crt"
    own = {"grpc_client_config": client("tempo", ca)}
    assert config["server"]["grpc_tls_config"] == server(ca)
    assert config["querier"]["frontend_worker"].items() >= own.items()
    assert config["live_store_client"] == config["backend_scheduler_client"] == own
    gossip = {"bind_addr": ["127.0.0.1"], "advertise_addr": "${POD_IP}", "advertise_port": 7946}
    assert config["memberlist"].items() >= {**gossip, **client("tempo", ca, "VersionTLS12")}.items()
    for part in TEMPO_PARTS:
        workload = next(
            item for (kind, name), item in objects.items() if name == part and "template" in item.get("spec", {})
        )
        check_gossip(objects, workload, "tempo-peers")
        (container,) = pod(workload)["containers"]
        assert "-config.expand-env=true" in container["args"]
        assert {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}} in container["env"]


def test_a_single_pod_has_no_peers() -> None:
    objects = dev_with(encryption=ON)
    assert not [name for kind, name in objects if name.endswith("-peers-certificate")]
    assert "cluster-tls.yml" not in objects["ConfigMap", "alertmanager-config"]["data"]
    assert "/etc/peers" not in str(objects["StatefulSet", endpoints.LOKI])


@pytest.mark.parametrize("value", [False, "accepted"])
def test_peers_talk_in_clear_until_clients_use_tls(value: bool | str) -> None:
    objects = dev_with(encryption={"telemetry": value}, alerting={"replicas": 2}, logs=LOKIS, traces=TEMPO_IN_PARTS)
    assert not [name for kind, name in objects if name.endswith("-peers-certificate")]
    assert "tls" not in objects["ConfigMap", "loki-config"]["data"]["loki.yaml"]
    assert "tls" not in objects["ConfigMap", "tempo-config"]["data"]["tempo.yaml"]
