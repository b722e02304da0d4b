"""`encryption.postgres`: what the server, the task-manager and its migrations get."""

from typing import Any

import pytest

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.components.encryption.authority import Authority
from stack.deploy import policy
from stack.deploy.render import record
from stack.settings import PROJECT, effective_config, parse
from stack.settings.missing_secrets import needed_secrets
from tests.support.configuration import config, refusal
from tests.support.pod_template import environment, pod
from tests.support.program import dev_with

ON = {"postgres": True}
SEED = f"value-of-{secret_keys.AUTHORITY_SEED}"
OWNER_URL = (
    "postgresql+psycopg://tasks@/tasks?host=postgres:5432&target_session_attrs=read-write"
    "&sslmode=verify-full&sslrootcert=/etc/postgres-ca/ca.crt"
)


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Manifest]:
    return dev_with(encryption=ON)


def test_clients_have_the_authority_of_the_servers_certificate(objects: dict[tuple[str, str], Manifest]) -> None:
    assert objects["ConfigMap", "postgres-ca"]["data"]["ca.crt"] == Authority(SEED).certificate
    secret = objects["Secret", "postgres-certificate"]
    assert secret["type"] == "kubernetes.io/tls"
    files = secret["stringData"]
    assert set(files) == {"tls.crt", "tls.key", "tls-combined.pem"}
    assert files["tls-combined.pem"] == files["tls.key"] + files["tls.crt"]
    mounts = {item["mountPath"] for item in pod(objects["StatefulSet", "postgres"])["containers"][0]["volumeMounts"]}
    assert "/etc/postgres-certificate" in mounts


def test_migrations_run_as_the_owner_and_the_service_as_its_own_role(
    objects: dict[tuple[str, str], Manifest],
) -> None:
    task_manager = pod(objects["Deployment", "task-manager"])
    (container,), (migration,) = task_manager["containers"], task_manager["initContainers"]
    assert environment(container)["DATABASE_URL"] == OWNER_URL.replace("tasks@", "task_manager@")
    assert environment(container)["PGPASSWORD"] == secret_keys.POSTGRES_SERVICE_PASSWORD
    assert environment(migration) == {"DATABASE_URL": OWNER_URL, "PGPASSWORD": secret_keys.POSTGRES_PASSWORD}
    assert "--grant=task_manager" in migration["args"]
    assert secret_keys.POSTGRES_PASSWORD not in environment(container).values()


def test_the_server_lets_no_one_in_without_tls(objects: dict[tuple[str, str], Manifest]) -> None:
    server = pod(objects["StatefulSet", "postgres"])
    rules = environment(server["initContainers"][0])["ACCESS"].splitlines()
    assert rules == ["hostssl tasks tasks all scram-sha-256", "hostssl tasks task_manager all scram-sha-256"]
    assert "ssl=on" in server["containers"][0]["command"]


def test_without_it_nothing_of_it_is_declared() -> None:
    objects = dev_with()
    assert not {("ConfigMap", "postgres-ca"), ("Secret", "postgres-certificate")} & set(objects)
    assert "initContainers" not in pod(objects["Deployment", "task-manager"])


def test_manifests_for_review_have_no_key() -> None:
    settings = effective_config("dev") | {f"{PROJECT}:encryption": ON}
    references = {f"{PROJECT}:{key}": f"${{{key}}}" for key in secret_keys.ALL}
    manifests = record("dev", settings | references).manifests
    policy.require_compliance(manifests)
    (secret,) = [item for item in manifests if item["metadata"]["name"] == "postgres-certificate"]
    assert all(value.startswith("${") for value in secret["stringData"].values())


def test_the_secrets_are_needed() -> None:
    keys = {secret_keys.AUTHORITY_SEED, secret_keys.POSTGRES_SERVICE_PASSWORD}
    assert {*needed_secrets(parse(config(encryption=ON), "Pulumi.test.yaml"))} - {*secret_keys.GENERATED} == keys


@pytest.mark.parametrize(
    "sections",
    [
        {"postgres": {"external": {"hosts": ["db.example.com:5432"]}}},
        {"postgres": {"cloudnativepg": {}}},
        {"services": {"enabled": False}},
    ],
)
def test_it_is_refused_without_a_server_of_the_stack(sections: dict[str, Any]) -> None:
    assert "encryption.postgres" in refusal(encryption=ON, **sections)
