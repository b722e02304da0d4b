"""Object storage: what is refused, and what Tempo and Loki get of each kind."""

from typing import Any

import pytest
import yaml

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.authority import CA
from tests.support.configuration import config, refusal
from tests.support.program import dev_with

S3 = {"bucket": "telemetry", "endpoint": "s3.example.com:9000", "region": "a", "forcePathStyle": True, "ca": CA}
KINDS: dict[str, dict[str, Any]] = {
    "s3": {"s3": S3},
    "gcs": {"gcs": {"bucket": "telemetry"}},
    "azure": {"azure": {"account": "account", "container": "telemetry"}},
}
SECRETS = {
    "s3": {"objectStorageAccessKey", "objectStorageSecretKey"},
    "gcs": {"objectStorageServiceAccount"},
    "azure": {"objectStorageAccountKey"},
}
STORES = ("tempo", "loki")


def manifests(storage: dict[str, Any]) -> dict[tuple[str, str], Manifest]:
    """The objects of stack dev with this storage for both stores; the policy accepts them."""
    return dev_with(
        traces={"objectStorage": {**storage, "prefix": "tempo"}},
        logs={"replicas": 3, "objectStorage": {**storage, "prefix": "loki"}},
    )


def container(objects: dict[tuple[str, str], Manifest], store: str) -> dict[str, Any]:
    (only,) = objects["StatefulSet", store]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def bucket_config(objects: dict[tuple[str, str], Manifest], store: str, kind: str) -> dict[str, Any]:
    parsed = yaml.safe_load(objects["ConfigMap", f"{store}-config"]["data"][f"{store}.yaml"])
    if store == "tempo":
        assert parsed["storage"]["trace"]["backend"] == kind
        return dict(parsed["storage"]["trace"][kind])
    assert parsed["schema_config"]["configs"][0]["object_store"] == kind
    assert parsed["storage_config"]["object_store"]["storage_prefix"] == "loki"
    return dict(parsed["storage_config"]["object_store"][kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_clients_have_the_secrets_of_their_kind_and_no_others(kind: str) -> None:
    objects = manifests(KINDS[kind])
    for store in STORES:
        pod = objects["StatefulSet", store]["spec"]["template"]["spec"]
        environment = {item["name"]: item for item in container(objects, store)["env"]}
        keys = {
            item["valueFrom"]["secretKeyRef"]["key"]
            for item in environment.values()
            if "secretKeyRef" in item.get("valueFrom", {})
        }
        files = [item for volume in pod["volumes"] for item in volume.get("secret", {}).get("items", [])]
        assert keys | {item["key"] for item in files} == SECRETS[kind]
        if kind == "gcs":
            (mount,) = [m for m in container(objects, store)["volumeMounts"] if m["mountPath"] == "/etc/object-storage"]
            path = f"{mount['mountPath']}/{files[0]['path']}"
            assert environment["GOOGLE_APPLICATION_CREDENTIALS"]["value"] == path
    needed = needed_secrets(parse(config(logs={"objectStorage": KINDS[kind]}), "test"))
    assert SECRETS[kind] == set(needed) - set(secret_keys.GENERATED)


def test_the_certificate_of_the_server_is_verified_with_the_authority_that_the_settings_name() -> None:
    objects = manifests(KINDS["s3"])
    for store, path in (("tempo", ("tls_ca_path",)), ("loki", ("http", "tls_ca_path"))):
        value: Any = bucket_config(objects, store, "s3")
        for part in path:
            value = value[part]
        folder, _, name = value.rpartition("/")
        assert objects["ConfigMap", f"{store}-config"]["data"][name] == CA
        assert folder in {mount["mountPath"] for mount in container(objects, store)["volumeMounts"]}


def test_each_kind_names_its_bucket() -> None:
    for store in STORES:
        s3 = bucket_config(manifests(KINDS["s3"]), store, "s3")
        assert s3["endpoint"] == "s3.example.com:9000"
        assert s3["insecure"] is False
        gcs = bucket_config(manifests(KINDS["gcs"]), store, "gcs")
        assert gcs["bucket_name"] == "telemetry"
        azure = bucket_config(manifests(KINDS["azure"]), store, "azure")
        assert azure["container_name"] == "telemetry"
        assert azure["endpoint_suffix"] == "blob.core.windows.net"


@pytest.mark.parametrize("kind", KINDS)
def test_with_an_identity_of_the_cloud_there_is_no_secret(kind: str) -> None:
    objects = manifests({**KINDS[kind], "identity": {"cloud/identity": "telemetry"}})
    for store in STORES:
        assert objects["ServiceAccount", store]["metadata"]["annotations"]["cloud/identity"] == "telemetry"
        variables = container(objects, store)["env"]
        assert not [item for item in variables if "secretKeyRef" in item.get("valueFrom", {})]
        assert "GOOGLE_APPLICATION_CREDENTIALS" not in {item["name"] for item in variables}
        labels = objects["StatefulSet", store]["spec"]["template"]["metadata"]["labels"]
        assert (labels.get("azure.workload.identity/use") == "true") == (kind == "azure")
    if kind == "azure":
        assert bucket_config(objects, "tempo", kind)["use_federated_token"] is True
        assert "account_key" not in bucket_config(objects, "loki", kind)


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"traces": {"objectStorage": {}}}, "exactly one of s3, gcs and azure"),
        ({"traces": {"objectStorage": KINDS["s3"] | KINDS["gcs"]}}, "exactly one of s3, gcs and azure"),
        ({"logs": {"replicas": 3}}, "several replicas need objectStorage"),
        ({"logs": {"replicas": 2, "objectStorage": KINDS["gcs"]}}, "Loki would refuse lines while one is unavailable"),
        ({"logs": {"objectStorage": {**KINDS["gcs"], "prefix": "a/b"}}}, "letters, digits and dashes"),
        ({"traces": {"objectStorage": {"azure": {"account": "A_B", "container": "abc"}}}}, "azure.account"),
    ],
)
def test_what_cannot_work_is_refused(sections: dict[str, Any], part: str) -> None:
    assert part in refusal(**sections)


def test_several_lokis_are_one_ring() -> None:
    objects = manifests(KINDS["s3"])
    parsed = yaml.safe_load(objects["ConfigMap", "loki-config"]["data"]["loki.yaml"])
    assert parsed["common"]["ring"]["kvstore"]["store"] == "memberlist"
    assert parsed["common"]["replication_factor"] == 3
    assert objects["StatefulSet", "loki"]["spec"]["replicas"] == 3
    (member,) = parsed["memberlist"]["join_members"]
    name, _, port = member.partition(":")
    assert int(port) in {item["port"] for item in objects["Service", name]["spec"]["ports"]}
    (address,) = [item for item in container(objects, "loki")["env"] if item["name"] == "POD_IP"]
    assert address["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert parsed["common"]["instance_addr"] == "${POD_IP}"
    assert "-config.expand-env=true" in container(objects, "loki")["args"]


def test_one_loki_keeps_its_grpc_to_itself() -> None:
    item = dev_with()["ConfigMap", "loki-config"]
    assert yaml.safe_load(item["data"]["loki.yaml"])["server"]["grpc_listen_address"] == "127.0.0.1"
