"""The distribution says in three places what is in it: they agree, with each other and with the stack."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import versions

_DISTRIBUTION = Path(__file__).resolve().parents[3] / "collector" / "distribution"
_KINDS = ("receivers", "processors", "connectors", "exporters", "extensions", "providers")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_DISTRIBUTION / "manifest.yaml").read_text())
    return content


@pytest.fixture(scope="module")
def program() -> str:
    return (_DISTRIBUTION / "main.go").read_text()


@pytest.fixture(scope="module")
def required() -> dict[str, str]:
    """Modules of go.mod's own choice and their versions."""
    text = (_DISTRIBUTION / "go.mod").read_text()
    return dict(re.findall(r"^\s+(\S+) (v\S+)$", text, flags=re.MULTILINE))


def test_manifest_and_program_have_the_same_components(manifest: dict[str, Any], program: str) -> None:
    listed = {_component(entry) for kind in _KINDS for entry in manifest[kind]}
    factories = set(re.findall(r"\b(\w+)\.NewFactory\(\),", program))
    used = {module for module in _imports(program) if module.rpartition("/")[2] in factories}
    assert listed == used


def test_every_import_of_a_component_is_registered(program: str) -> None:
    unused = [module for module in _imports(program) if f"{module.rpartition('/')[2]}." not in program]
    assert unused == []


def test_every_component_is_configured_by_a_template_or_a_benchmark(manifest: dict[str, Any]) -> None:
    folder = _DISTRIBUTION.parent
    configured = "".join((folder / name).read_text() for name in ("config.yaml.j2", "parts.j2", "sampler.yaml.j2"))
    configured += (folder / "redaction.j2").read_text()
    # The benchmark of capacity compares the pipeline with a plain one, which has the batch processor.
    names = set(re.findall(r"^ +([a-z_]+)(?:/(?:[a-z_]+|{{ [a-z]+ }}))?:", configured, flags=re.MULTILINE)) | {"batch"}
    for kind in ("receivers", "processors", "connectors", "exporters", "extensions"):
        for entry in manifest[kind]:
            module = _component(entry).rpartition("/")[2]
            name = re.sub(r"(receiver|processor|connector|exporter|extension)$", "", module)
            assert name in {name.replace("_", "") for name in names}, module


def test_manifest_has_the_versions_of_go_mod(manifest: dict[str, Any], required: dict[str, str]) -> None:
    for kind in _KINDS:
        for entry in manifest[kind]:
            module, version = entry["gomod"].split()
            if "path" in entry:
                assert f"module {module}\n" in (_DISTRIBUTION / "go.mod").read_text()
                assert _DISTRIBUTION.match(entry["path"])
                continue
            assert required.get(module) == version, f"{kind}: {module}"


def test_one_version_everywhere(manifest: dict[str, Any], program: str) -> None:
    version = manifest["dist"]["version"]
    assert f'const version = "{version}"' in program
    assert versions.COLLECTOR.endswith(f":{version}")


def test_program_stands_in_for_the_contrib_distribution(manifest: dict[str, Any], program: str) -> None:
    assert manifest["dist"]["name"] == "otelcol-contrib"
    assert '"otelcol-contrib"' in program


def _component(entry: dict[str, str]) -> str:
    """Import path of a component of the manifest."""
    return entry.get("import", entry["gomod"].split()[0])


def _imports(program: str) -> set[str]:
    return set(re.findall(r'^\t"([^"]+/[^"]+)"$', program, flags=re.MULTILINE))
