"""How the program's resources hang together: parents, outputs, order, and names that last."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pulumi
import pytest

from contracts.services import SERVICES
from stack.deploy.render import Rendered
from tests.support.program import STACKS, program

_COMPONENT = "web-crawl-tracing:index:"
# Types and names that earlier versions of the program had. A line may go only with what it names.
_RELEASED = Path(__file__).with_name("released.txt")


def components(made: Rendered) -> dict[str, type[pulumi.ComponentResource]]:
    """Class of each component of the program, by its URN."""
    classes = {
        cls.__name__: cls for cls in pulumi.ComponentResource.__subclasses__() if cls.__module__.startswith("stack.")
    }
    return {
        item.urn: classes[item.type.rpartition(":")[2]]
        for item in made.registrations
        if item.type.startswith(_COMPONENT)
    }


@pytest.mark.parametrize("backend", STACKS)
def test_every_object_is_the_child_of_a_component(backend: str) -> None:
    made = program(backend)
    known = components(made)
    for item in made.registrations:
        if item.type.startswith("kubernetes:"):
            assert item.parent in known, f"{item.name} has no component for its parent"
    childless = known.keys() - {item.parent for item in made.registrations}
    assert not childless


@pytest.mark.parametrize("backend", STACKS)
def test_components_register_the_outputs_that_they_declare(backend: str) -> None:
    made = program(backend)
    for urn, cls in components(made).items():
        declared = {name for name in cls.__annotations__ if not name.startswith("_")}
        assert made.outputs[urn].keys() == declared, cls.__name__
        assert all(value is not None for value in made.outputs[urn].values()), cls.__name__


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of everything that a pod cannot start without."""
    match value:
        case {"serviceAccountName": name}:
            yield "ServiceAccount", name
        case {"configMap": {"name": name}}:
            yield "ConfigMap", name
        case {"secret": {"secretName": name}} | {"secretKeyRef": {"name": name}}:
            yield "Secret", name
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _references(part)


@pytest.mark.parametrize("backend", STACKS)
def test_what_an_object_needs_is_there_before_it(backend: str) -> None:
    made = program(backend)
    registered = {(item.type.rpartition(":")[2], item.name): item for item in made.registrations}
    for manifest in made.manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        needed = set() if kind == "Namespace" else {("Namespace", manifest["metadata"]["namespace"])}
        if kind in ("Deployment", "StatefulSet"):
            references = set(_references(manifest["spec"]["template"]["spec"]))
            assert ("ServiceAccount", name) in references
            needed |= references
        for other in needed:
            assert registered[other].urn in registered[kind, name].dependencies, f"{kind} {name} waits for no {other}"


def test_a_service_starts_after_the_services_that_it_calls() -> None:
    made = program("jaeger")
    registered = {item.name: item for item in made.registrations if item.type.endswith(":Deployment")}
    for caller, called in pairwise(SERVICES):
        assert registered[called].urn in registered[caller].dependencies


def _path(urn: str) -> str:
    return urn.split("::", 2)[2]


def test_a_renamed_resource_says_what_it_was() -> None:
    registrations = [item for backend in STACKS for item in program(backend).registrations]
    present = {_path(item.urn) for item in registrations}
    former = {
        _path(item.urn).replace(parent.type, alias, 1)
        for parent in registrations
        for alias in parent.aliases
        for item in registrations
        if parent.urn in (item.urn, item.parent)
    }
    assert not set(_RELEASED.read_text().splitlines()) - present - former, (
        "renamed, or moved to another component? Pulumi would delete it and create it again: give it an alias "
        "(pulumi.Alias, see stack/components/trace_store/tempo.py). Really gone? Take it out of released.txt"
    )


def test_tempo_in_parts_takes_over_what_the_single_binary_has() -> None:
    single, parts = program("tempo"), program("distributed tempo")
    for first, second in ((single, parts), (parts, single)):
        (own,) = [item for item in second.registrations if item.type.endswith("Tempo")]
        (others,) = [item for item in first.registrations if item.type.endswith("Tempo")]
        assert (own.name, own.aliases) == (others.name, frozenset({others.type}))
