"""The manifests of `make render`: valid for every supported Kubernetes, always the same, and without secrets."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from contracts import versions
from contracts.metadata import Manifest
from stack.deploy.render import as_yaml, render, without_pulumi_annotations
from stack.settings import ROOT
from tests.support.program import STACKS as BACKENDS
from tests.support.program import program

STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


@pytest.fixture(autouse=True, scope="module")
def _schemas_read_once() -> Iterator[None]:
    """The library reads and parses a megabyte of schemas for every object, which is most of the time it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


@cache
def rendered(stack: str) -> list[Manifest]:
    return render(stack)


@cache
def every_object() -> list[tuple[str, Manifest]]:
    """The objects of all stacks and of all backends, each distinct object once."""
    made = {stack: rendered(stack) for stack in STACKS}
    made |= {backend: program(backend).manifests for backend in BACKENDS}
    distinct = {
        json.dumps(manifest, sort_keys=True): (f"{name}: {manifest['kind']} {manifest['metadata']['name']}", manifest)
        for name, manifests in made.items()
        for manifest in manifests
    }
    return list(distinct.values())


def problem(manifest: Manifest, version: str) -> str | None:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(str(part) for part in error.path)}: {error.message}"
    return None


@pytest.mark.parametrize("version", versions.KUBERNETES)
def test_every_object_is_valid_for_every_supported_kubernetes(version: str) -> None:
    assert version in {".".join(known.split(".")[:2]) for known in kubernetes_validate.utils.all_versions()}
    problems = {name: text for name, manifest in every_object() if (text := problem(manifest, version))}
    assert not problems


@pytest.mark.parametrize(
    ("kind", "change", "text"),
    [
        ("Service", {"spec": {"ports": [{"port": "80"}]}}, "not of type"),
        ("Deployment", {"spec": {"template": {"spec": {"containers": [], "noSuchKey": 1}}}}, "noSuchKey"),
    ],
)
def test_an_invalid_object_is_found(kind: str, change: dict[str, Any], text: str) -> None:
    manifest = next(item for _, item in every_object() if item["kind"] == kind)
    for version in (versions.KUBERNETES[0], versions.KUBERNETES[-1]):
        assert text in (problem({**manifest, **change}, version) or "")


@pytest.mark.parametrize("stack", STACKS)
def test_objects_come_in_an_order_in_which_they_can_be_applied(stack: str) -> None:
    kinds = [manifest["kind"] for manifest in rendered(stack)]
    assert kinds == sorted(kinds, key=list(dict.fromkeys(kinds)).index), "each kind in one piece"
    assert kinds[:2] == ["Namespace", "ServiceAccount"]
    for earlier, later in (("Secret", "Service"), ("ConfigMap", "Service"), ("Service", "StatefulSet")):
        assert kinds.index(earlier) < kinds.index(later)
    assert kinds.index("StatefulSet") < kinds.index("Deployment")


@pytest.mark.parametrize("stack", STACKS)
def test_no_value_of_a_secret_and_no_time_is_written(stack: str) -> None:
    manifests = rendered(stack)
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            for key, value in manifest["stringData"].items():
                assert re.fullmatch(r"(Bearer )?\$\{\w+\}\n?|\$\{[\w.-]+ of [a-z-]+\}", value), key
    text = as_yaml(manifests)
    assert not re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text)
    assert "creationTimestamp" not in text
    assert "pulumi.com/" not in text
    assert list(yaml.safe_load_all(text)) == [without_pulumi_annotations(manifest) for manifest in manifests]


def test_another_process_writes_the_same_bytes() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "1", "TZ": "UTC7"}
    command = [sys.executable, "-m", "cli", "render", "prod"]
    written = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout
    assert written == as_yaml(rendered("prod")).encode()


IMPORTED_BY_A_THREAD = """
import sys, threading
from local.stack import import_program

thread = threading.Thread(target=import_program, args=(None,))
thread.start()
thread.join()
from stack.deploy.render import as_yaml, render

sys.stdout.write(as_yaml(render("prod")))
"""


def test_a_program_that_a_thread_has_imported_writes_the_same_bytes() -> None:
    """As `make up` imports it. Pulumi keeps the state of its runtime by context, and a thread has one of its own."""
    command = [sys.executable, "-c", IMPORTED_BY_A_THREAD]
    written = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    assert written == as_yaml(rendered("prod")).encode()
