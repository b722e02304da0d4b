"""The services know who may call them as the settings say, and no credential is written in clear."""

from typing import Any

import pytest

from contracts import secret_keys
from contracts.access import Role
from service.common.access import digest
from service.gateway.config import GatewaySettings
from service.task_manager.config import TaskManagerSettings
from stack.components.services.access import Access, new_key
from stack.settings import SettingsError, parse
from tests.support.program import rendered

SETTINGS = {"environment": "dev", "cluster": {"context": "c", "namespace": "n"}, "images": {"service": "example/s:1"}}
PROVIDER = {"issuer": "https://login.example.com", "audience": "a", "keysUrl": "https://login.example.com/keys"}


def _parse(environment: str, **access: Any) -> bool:
    config = {**SETTINGS, "environment": environment, "access": access}
    return parse({f"web-crawl-tracing:{key}": value for key, value in config.items()}, "test").has_access_control


def _variables(stack: str, name: str) -> dict[str, Any]:
    (workload,) = [
        item for item in rendered(stack) if item["kind"] == "Deployment" and item["metadata"]["name"] == name
    ]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def test_access_control_is_on_unless_the_stack_is_local_or_the_settings_say_otherwise() -> None:
    assert _parse("dev")
    assert _parse("prod")
    assert not _parse("local")
    assert _parse("local", enabled=True)
    assert not _parse("dev", enabled=False)


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_services_read_their_credentials_from_the_secret(stack: str) -> None:
    gateway, manager, probe = (_variables(stack, name) for name in ("gateway", "task-manager", "probe"))
    references = {
        "STACK_KEY": (gateway, secret_keys.STACK_KEY),
        "STACK_KEY_OTHER": (gateway, secret_keys.STACK_KEY_OTHER),
        "SERVICE_TOKEN": (gateway, secret_keys.SERVICE_TOKEN),
        "SERVICE_TOKEN_OTHER": (manager, secret_keys.SERVICE_TOKEN_OTHER),
        "GATEWAY_KEY": (probe, secret_keys.STACK_KEY),
    }
    for name, (variables, key) in references.items():
        assert variables[name]["secretKeyRef"]["key"] == key
    assert manager["SERVICE_TOKEN"] == gateway["SERVICE_TOKEN"]
    known = {name: value if isinstance(value, str) else "from the secret" for name, value in gateway.items()}
    assert GatewaySettings.from_env(known).access_control
    known = {name: value if isinstance(value, str) else "from the secret" for name, value in manager.items()}
    known |= {"DATABASE_URL": "sqlite:///x"}
    assert TaskManagerSettings.from_env(known).access_control


def test_the_local_gateway_and_its_clients_have_no_key() -> None:
    for name in ("gateway", "task-manager", "probe"):
        assert not {"ACCESS_CONTROL", "STACK_KEY", "SERVICE_TOKEN", "GATEWAY_KEY"} & _variables("local", name).keys()


def test_a_new_key_has_the_hash_that_the_gateway_computes() -> None:
    key, key_hash = new_key()
    assert digest(key) == key_hash
    assert new_key()[0] != key
    access = Access.model_validate({"keys": [{"name": "shop", "role": "operator", "hash": key_hash}]})
    assert access.keys[0].role is Role.OPERATOR


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        ({"keys": [{"name": "shop", "hash": "wct_in-clear"}]}, "keys"),
        ({"keys": [{"name": "Shop", "hash": "0" * 64}]}, "keys"),
        ({"keys": [{"name": "stack", "hash": "0" * 64}]}, "belongs to the stack"),
        ({"keys": [{"name": "a", "role": "root", "hash": "0" * 64}]}, "role"),
        (
            {"keys": [{"name": "a", "hash": "0" * 64}, {"name": "a", "role": "support", "hash": "1" * 64}]},
            "two roles",
        ),
        ({"identityProvider": {**PROVIDER, "keysUrl": "ftp://x"}}, "keysUrl"),
        ({"identityProvider": {"issuer": PROVIDER["issuer"]}}, "audience"),
        ({"limits": {"burst": 0}}, "burst"),
    ],
)
def test_wrong_settings_are_refused(access: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        _parse("dev", **access)


def test_keys_and_a_provider_are_accepted() -> None:
    keys = [{"name": "shop", "role": "user", "hash": digest("x")}, {"name": "shop", "hash": digest("y")}]
    assert _parse("dev", keys=keys, identityProvider=PROVIDER, limits={"requestsPerMinute": 60})
