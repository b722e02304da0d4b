"""The table of images against what it is made from."""

import re
from pathlib import Path

import pytest

from contracts import versions
from local.images.catalogue import CATALOGUE

_IMAGES = Path(__file__).resolve().parents[4] / "local" / "images"


def test_every_image_of_the_stack_is_there() -> None:
    references = {
        known.reference() for name, known in CATALOGUE.items() if name != "service" and not known.only_by_name
    }
    assert references == set(versions.IMAGES.values())


@pytest.mark.parametrize(
    ("name", "module", "reference", "numbered"),
    [
        ("prometheus", "github.com/prometheus/prometheus", versions.PROMETHEUS, "0.{major}{minor:02}.{patch}"),
        # One code, released as 1.(x+63) and as 2.x for as long as there were both.
        ("jaeger", "github.com/jaegertracing/jaeger", versions.JAEGER, "1.{minor_of_1}.{patch}"),
        ("alertmanager", "github.com/prometheus/alertmanager", versions.ALERTMANAGER, "{major}.{minor}.{patch}"),
        ("loki", "github.com/grafana/loki/v3", versions.LOKI, "{major}.{minor}.{patch}"),
    ],
)
def test_pinned_module_is_the_version_of_the_stack(name: str, module: str, reference: str, numbered: str) -> None:
    pinned = re.search(rf"{module} v(\S+)$", (_IMAGES / name / "go.mod").read_text(), flags=re.MULTILINE)
    assert pinned
    major, minor, patch = map(int, reference.rpartition(":")[2].removeprefix("v").split("."))
    assert pinned[1] == numbered.format(major=major, minor=minor, patch=patch, minor_of_1=minor + 63)


def test_only_what_nothing_else_waits_for_is_built_later() -> None:
    assert {name for name, known in CATALOGUE.items() if known.later} == {"alertmanager", "loki"}


def test_what_can_be_neither_packed_nor_built_is_optional() -> None:
    assert {name for name, known in CATALOGUE.items() if not known.build} == {
        name for name, known in CATALOGUE.items() if known.optional
    }
