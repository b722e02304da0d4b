"""The table of images against what it is made from."""

import re
from pathlib import Path

import pytest

from local.images.catalogue import CATALOGUE
from stack import versions

_IMAGES = Path(__file__).resolve().parents[3] / "local" / "images"


def test_every_image_of_the_stack_is_there() -> None:
    references = {known.reference() for name, known in CATALOGUE.items() if name != "service"}
    assert references == set(versions.IMAGES.values())


@pytest.mark.parametrize(
    ("name", "module", "reference"),
    [
        # Prometheus 3.x.y is the module's v0.3xx.y, with two digits of the minor version.
        ("prometheus", "github.com/prometheus/prometheus", versions.PROMETHEUS),
        ("jaeger", "github.com/jaegertracing/jaeger", versions.JAEGER),
        ("loki", "github.com/grafana/loki/v3", versions.LOKI),
    ],
)
def test_pinned_module_is_the_version_of_the_stack(name: str, module: str, reference: str) -> None:
    found = re.search(rf"{module} v(\S+)$", (_IMAGES / name / "go.mod").read_text(), flags=re.MULTILINE)
    assert found
    major, minor, patch = reference.rpartition(":")[2].removeprefix("v").split(".")
    expected = f"0.{major}{int(minor):02}.{patch}" if name == "prometheus" else f"{major}.{minor}.{patch}"
    assert found[1] == expected


def test_only_what_nothing_else_waits_for_is_built_later() -> None:
    assert {name for name, known in CATALOGUE.items() if known.later} == {"loki"}


def test_what_can_be_neither_packed_nor_built_is_optional() -> None:
    assert {name for name, known in CATALOGUE.items() if not known.build} == {
        name for name, known in CATALOGUE.items() if known.optional
    }
