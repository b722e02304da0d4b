"""The component that Pulumi programs of others create."""

import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
import pulumi
import pytest

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.deploy.render import Rendered, record
from stack.package import TracingStack, TracingStackArgs
from stack.settings import ROOT, SettingsError

_SETTINGS: dict[str, Any] = {
    "environment": "test",
    "cluster": {"context": "c", "namespace": "tracing"},
    "images": {"service": "registry.example.com/service:1"},
    # Pulumi passes every number to a component as a float.
    "services": {"gateway": {"replicas": 2.0}},
    "collector": {"sampling": {"ratio": 0.5}},
}
_SECRETS = {key: f"value-of-{key}" for key in secret_keys.GENERATED}
_STACK = f"{PROJECT}:index:TracingStack"


def _component(settings: dict[str, Any], secrets: dict[str, Any] = _SECRETS) -> Rendered:
    def program() -> None:
        TracingStack("tracing", {"settings": settings, "secrets": secrets})

    return record("test", {}, program)


def test_it_declares_the_objects_of_the_program() -> None:
    config = _SETTINGS | {"services": {"gateway": {"replicas": 2}}} | _SECRETS
    expected = record("test", {f"{PROJECT}:{key}": value for key, value in config.items()})
    assert _component(_SETTINGS).manifests == expected.manifests


def test_all_resources_belong_to_it() -> None:
    made = _component(_SETTINGS)
    parents = {item.urn: item.parent for item in made.registrations if not item.type.startswith("pulumi:pulumi:")}
    (root,) = (urn for urn in parents if urn.endswith(f"{_STACK}::tracing"))
    for urn in parents.keys() - {root}:
        ancestor = urn
        while ancestor != root:
            ancestor = parents[ancestor]


def test_a_kubeconfig_of_the_program_reaches_the_provider() -> None:
    def program() -> None:
        args: TracingStackArgs = {
            "settings": _SETTINGS,
            "secrets": {**_SECRETS},
            "kubeconfig": pulumi.Output.from_input("k"),
        }
        TracingStack("tracing", args)

    (provider,) = (item for item in record("test", {}, program).resources if item.typ == "pulumi:providers:kubernetes")
    assert provider.inputs["kubeconfig"] == "k"
    assert provider.inputs["context"] == "c"


def test_its_outputs_are_the_namespace_and_the_urls() -> None:
    made = _component(_SETTINGS)
    (outputs,) = (values for urn, values in made.outputs.items() if urn.endswith(f"{_STACK}::tracing"))
    assert outputs["namespace"] == "tracing"
    assert {"gateway", "prometheus", "traces", "logs", "grafana"} <= outputs["urls"].keys()


@pytest.mark.parametrize(
    ("settings", "secrets", "message"),
    [
        (_SETTINGS | {"trases": {}}, _SECRETS, r"trases: unknown key; did you mean traces\?"),
        (_SETTINGS, {}, "secrets: missing: postgresPassword, "),
        (_SETTINGS, _SECRETS | {"pasword": "x"}, "unknown key: pasword"),
    ],
)
def test_a_mistake_ends_in_a_message(settings: dict[str, Any], secrets: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _component(settings, secrets)


def test_its_lock_file_has_what_its_modules_import_in_the_versions_of_the_project() -> None:
    """A module may import a package late, so a program that loads does not prove it."""
    pinned = _pins(ROOT / "package" / "requirements.lock")
    assert pinned.items() <= _pins(ROOT / "requirements.lock").items()
    own = ("contracts", "lean_tracing", "service", "collector", "dashboards", "stack")
    graph = grimp.build_graph(*own, include_external_packages=True, cache_dir=None)
    imported = {name.partition(".")[0] for name in graph.find_upstream_modules("stack.package")}
    distributions = packages_distributions()
    for name in imported - {*own, *sys.stdlib_module_names}:
        assert any(re.sub("[-_.]+", "-", owner).lower() in pinned for owner in distributions[name]), name


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))
