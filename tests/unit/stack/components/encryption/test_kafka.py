"""`encryption.kafka`: what the brokers, their clients and the pod that writes users get."""

import json
from itertools import pairwise
from typing import Any

import pytest
import yaml
from cryptography import x509

from contracts import secret_keys
from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.components.encryption.authority import Authority
from stack.components.kafka.rights import RIGHTS
from stack.deploy import policy
from stack.deploy.render import record
from stack.settings import PROJECT, effective_config, parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.configuration import config, refusal
from tests.support.pod_template import environment, pod
from tests.support.program import dev_with

ON = {"kafka": True}
SEED = f"value-of-{secret_keys.AUTHORITY_SEED}"
CA = Authority(SEED).certificate
DISTRIBUTED = {"objectStorage": {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}, "distributed": {}}


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Manifest]:
    """The objects of stack dev with it, by kind and name; the policy accepts them."""
    return dev_with(encryption=ON, collector={"sampling": {"ratio": 0.1}})


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_a_user_that_verifies_the_brokers(objects: dict[tuple[str, str], Manifest], name: str) -> None:
    (container,) = pod(objects["Deployment", name])["containers"]
    variables = {key: value for key, value in environment(container).items() if key.startswith("KAFKA_")}
    assert variables == {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:9094",
        "KAFKA_ENCRYPTED": "true",
        "KAFKA_CA": CA,
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_USERNAME": name,
        "KAFKA_PASSWORD": secret_keys.KAFKA_USER_PASSWORD[name],
        "KAFKA_PUBLISH_TIMEOUT_MS": "5000",
        "KAFKA_TOPIC_PARTITIONS": "3",
    }


@pytest.mark.parametrize(("name", "part"), [("collector", "exporters"), ("sampler", "receivers")])
def test_collectors_and_samplers_are_users(objects: dict[tuple[str, str], Manifest], name: str, part: str) -> None:
    document = yaml.safe_load(objects["ConfigMap", f"{name}-config"]["data"]["config.yaml"])
    kafka = document[part]["kafka/traces" if name == "collector" else "kafka"]
    assert kafka["tls"] == {"ca_pem": CA}
    assert kafka["auth"]["sasl"]["username"] == name
    (container,) = pod(objects["StatefulSet", name])["containers"]
    assert environment(container)["KAFKA_PASSWORD"] == secret_keys.KAFKA_USER_PASSWORD[name]


def test_the_sampler_creates_its_topic_as_its_own_user(objects: dict[tuple[str, str], Manifest]) -> None:
    (topic,) = [item for item in pod(objects["StatefulSet", "sampler"])["initContainers"] if item["name"] == "topic"]
    assert 'username="sampler"' in environment(topic)["CLIENT_PROPERTIES"]
    assert environment(topic)["KAFKA_PASSWORD"] == secret_keys.KAFKA_USER_PASSWORD["sampler"]


def test_brokers_have_a_certificate_for_each_name_that_clients_use() -> None:
    objects = dev_with(encryption=ON, kafka={"brokers": 3, "memory": "1Gi"})
    secret = objects["Secret", "kafka-certificate"]["stringData"]
    certificate = x509.load_pem_x509_certificate(secret["tls.crt"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "kafka",
        "kafka-pods",
        *(f"kafka-{number}.kafka-pods" for number in range(3)),
        "localhost",
    }
    files = objects["ConfigMap", "kafka-config"]["data"]
    assert files["ca.crt"] == CA
    for number in range(3):
        properties = dict(line.split("=", 1) for line in files[f"kafka-{number}.properties"].splitlines())
        assert properties["ssl.keystore.location"] == "/etc/kafka-certificate/tls-combined.pem"
        assert properties["ssl.truststore.location"] == "/etc/kafka-config/ca.crt"
        assert "PLAINTEXT" not in files[f"kafka-{number}.properties"]
    (container,) = pod(objects["StatefulSet", "kafka"])["containers"]
    assert environment(container)["COMMAND_CONFIG"] == "/etc/kafka-config/command.properties"
    assert environment(container)["BOOTSTRAP_SERVERS"] == "localhost:9091"
    users = environment(pod(objects["Deployment", "kafka-users"])["containers"][0])
    assert users["KAFKA_BOOTSTRAP_SERVERS"] == "kafka-pods:9091"


def test_the_pod_that_writes_users_has_all_passwords_and_no_key_of_the_brokers(
    objects: dict[tuple[str, str], Manifest],
) -> None:
    spec = pod(objects["Deployment", "kafka-users"])
    (container,) = spec["containers"]
    variables = environment(container)
    declared = json.loads(objects["ConfigMap", "kafka-users-config"]["data"]["declared.json"])
    assert {user: variables[name] for user, name in declared["users"].items()} == secret_keys.KAFKA_USER_PASSWORD
    assert (
        {item["user"] for item in declared["rights"]} == {*RIGHTS} == {*secret_keys.KAFKA_USER_PASSWORD, "tempo-kafka"}
    )
    files = {item["secret"]["secretName"]: item["secret"]["items"] for item in spec["volumes"] if "secret" in item}
    assert files["kafka-certificate"] == [{"key": "tls.crt", "path": "tls.crt"}]
    clients = [other for (_, other), item in objects.items() if item["kind"] in ("Deployment", "StatefulSet")]
    mounting = {name for name in clients if "kafka-users-certificate" in json.dumps(objects.get(("Deployment", name)))}
    assert mounting == {"kafka-users", "probe"}, "the probe has no key"


PARTS_WITH_KAFKA = {
    "tempo-distributor": "Deployment",
    "tempo-live-store": "StatefulSet",
    "tempo-block-builder": "StatefulSet",
}


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], Manifest]:
    """The objects of stack dev with Tempo in parts and three brokers."""
    return dev_with(encryption=ON, traces=DISTRIBUTED, kafka={"brokers": 3})


@pytest.mark.parametrize(("name", "kind"), PARTS_WITH_KAFKA.items())
def test_parts_of_tempo_reach_the_brokers_through_a_proxy(
    parts: dict[tuple[str, str], Manifest], name: str, kind: str
) -> None:
    spec = pod(parts[kind, name])
    first = spec["initContainers"][0]
    assert (first["name"], first["restartPolicy"]) == ("kafka-proxy", "Always")
    mounted = {item["mountPath"] for item in first["volumeMounts"]}
    assert mounted == {"/etc/kafka-proxy", "/etc/kafka-proxy-certificate"}
    files = {item["secret"]["secretName"]: item["secret"]["items"] for item in spec["volumes"] if "secret" in item}
    assert files["tempo-kafka-certificate"] == [{"key": "tls-combined.pem", "path": "tls-combined.pem"}]
    others = [*spec["initContainers"][1:], *spec["containers"]]
    assert not [item for item in others for mount in item["volumeMounts"] if "proxy" in mount["mountPath"]]
    tempo = yaml.safe_load(parts["ConfigMap", "tempo-config"]["data"]["tempo.yaml"])
    assert tempo["ingest"]["kafka"]["address"] == "127.0.0.1:19092"
    for topic in spec["initContainers"][1:]:
        assert topic["args"][:2] == ["--bootstrap-server", "127.0.0.1:19092"]


def test_other_parts_have_no_certificate_for_kafka(parts: dict[tuple[str, str], Manifest]) -> None:
    with_certificate = {
        name
        for (kind, name), item in parts.items()
        if kind in ("Deployment", "StatefulSet") and "tempo-kafka-" in str(item)
    }
    assert with_certificate == {*PARTS_WITH_KAFKA, "probe"}, "the probe has no key"


def test_a_proxy_takes_connections_to_each_broker_where_the_broker_says(parts: dict[tuple[str, str], Manifest]) -> None:
    config = parts["ConfigMap", "tempo-kafka-proxy"]["data"]["haproxy.cfg"]
    sections = dict(part.split("\n", 1) for part in config.split("\nlisten ")[1:])
    assert {name: text.split()[1] for name, text in sections.items()} == {
        "brokers": "127.0.0.1:19092",
        **{f"broker-{number}": f"127.0.0.1:{19093 + number}" for number in range(3)},
    }
    for number in range(3):
        host = f"kafka-{number}.kafka-pods"
        assert f'"{host}.${{SEARCH_DOMAIN}}:9095" verifyhost {host} ' in sections[f"broker-{number}"]
        properties = parts["ConfigMap", "kafka-config"]["data"][f"kafka-{number}.properties"]
        assert f"PROXIED://127.0.0.1:{19093 + number}" in properties


def listeners(step: object) -> dict[str, str]:
    """The configuration of the second of three brokers."""
    objects = dev_with(encryption={"kafka": step}, kafka={"brokers": 3})
    text = objects["ConfigMap", "kafka-config"]["data"]["kafka-1.properties"]
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def names(properties: dict[str, str], key: str = "listeners") -> set[str]:
    return {item.partition(":")[0] for item in properties[key].split(",")}


def test_brokers_with_neighbouring_steps_reach_each_other() -> None:
    """What a broker connects to, all brokers listen on that it can meet in a rolling update."""
    steps = [listeners(step) for step in (False, "accepted", "preferred", True)]
    for one, other in [*pairwise(steps), *pairwise(reversed(steps))]:
        controller = one["controller.listener.names"].partition(",")[0]
        assert {one["inter.broker.listener.name"], controller} <= names(other)
        assert one["inter.broker.listener.name"] in names(other, "advertised.listeners")
        port = next(
            item.rpartition(":")[2] for item in one["listeners"].split(",") if item.startswith(f"{controller}:")
        )
        assert {item.rpartition(":")[2] for item in one["controller.quorum.voters"].split(",")} == {port}


def test_only_the_last_step_refuses_connections_in_clear() -> None:
    for step in ("accepted", "preferred"):
        assert {"BROKER", "CONTROLLER"} <= names(listeners(step))
        assert listeners(step)["super.users"] == "User:kafka;User:kafka-users;User:ANONYMOUS"
    last = listeners(True)
    assert "PLAINTEXT" not in last["listener.security.protocol.map"]
    assert last["super.users"] == "User:kafka;User:kafka-users"


@pytest.mark.parametrize(("step", "address"), [("accepted", "kafka:9092"), ("preferred", "kafka:9094")])
def test_services_use_tls_once_all_brokers_take_it(step: str, address: str) -> None:
    (container,) = pod(dev_with(encryption={"kafka": step})["Deployment", "gateway"])["containers"]
    variables = environment(container)
    assert variables["KAFKA_BOOTSTRAP_SERVERS"] == address
    assert ("KAFKA_CA" in variables) == (step == "preferred")


def test_without_it_nothing_of_it_is_declared() -> None:
    names = {name for _, name in dev_with()}
    assert not {"kafka-certificate", "kafka-users", "kafka-users-config", "kafka-users-certificate"} & names


def test_manifests_for_review_have_no_key() -> None:
    settings = effective_config("dev") | {f"{PROJECT}:encryption": ON}
    references = {f"{PROJECT}:{key}": f"${{{key}}}" for key in secret_keys.ALL}
    manifests = record("dev", settings | references).manifests
    policy.require_compliance(manifests)
    secrets = [item for item in manifests if item["kind"] == "Secret" and "certificate" in item["metadata"]["name"]]
    assert len(secrets) == 2
    assert all(value.startswith("${") for secret in secrets for value in secret["stringData"].values())


def test_the_secrets_are_needed() -> None:
    keys = {secret_keys.AUTHORITY_SEED, *secret_keys.KAFKA_USER_PASSWORD.values()}
    assert {*needed_secrets(parse(config(encryption=ON), "Pulumi.test.yaml"))} - {*secret_keys.GENERATED} == keys


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"kafka": {"external": {"bootstrapServers": "a.example.com:9093"}}}, "kafka.external has its own setting"),
        ({"services": {"enabled": False}}, "encryption.kafka needs a Kafka"),
        ({"services": {"enabled": False}, "collector": {"sampling": {"ratio": 0.1}}, "images": None}, "images.service"),
    ],
)
def test_it_is_refused_where_it_cannot_be(sections: dict[str, Any], reason: str) -> None:
    assert reason in refusal(encryption=ON, **sections)
