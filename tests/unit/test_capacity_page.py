"""The page about capacity has the sums of the manifests, and the figures of the pages that it links to."""

import re

import pytest

from stack.capacity.page import with_figures
from stack.capacity.resources import resources, running
from stack.settings import ROOT
from tests.support.program import rendered_with_secrets

PAGE = (ROOT / "docs" / "capacity.md").read_text()
STACKS = re.findall(r"^\| `Pulumi\.(\w+)\.yaml` \| (.+) \|$", PAGE, re.MULTILINE)
FIGURES = re.findall(r"^\| [^|]+ \| \[([^]]+)\]\[(\w+)\] \| \d{4}-\d\d-\d\d \|", PAGE, re.MULTILINE)
SOURCES = dict(re.findall(r"^\[(\w+)\]: (\S+)$", PAGE, re.MULTILINE))


@pytest.mark.parametrize(("stack", "row"), STACKS, ids=[stack for stack, _ in STACKS])
def test_the_sums_are_those_of_the_manifests(stack: str, row: str) -> None:
    manifests = rendered_with_secrets(stack)
    for item in manifests:
        if item["kind"] in ("Deployment", "StatefulSet"):
            for container in running(item):
                limits = container["resources"]["limits"]
                assert container["resources"]["requests"]["memory"] == limits["memory"]
                assert "cpu" not in limits
    asked = resources(manifests)
    assert row == (
        f"{asked.pods} | {asked.cores:.2f} | {asked.memory / 2**30:.1f} GiB | {asked.volumes / 2**30:.0f} GiB"
    )


def test_there_are_rows() -> None:
    assert [stack for stack, _ in STACKS] == ["dev", "staging", "prod"]
    assert len(FIGURES) == 3


def test_the_tables_are_those_of_the_recorded_figures() -> None:
    assert with_figures(PAGE) == PAGE, "`./wct capacity document` writes it"


@pytest.mark.parametrize(("figure", "source"), FIGURES, ids=[figure for figure, _ in FIGURES])
def test_a_figure_is_in_the_page_that_explains_it(figure: str, source: str) -> None:
    number = re.search(r"[\d,.]+", figure)
    assert number
    assert number[0] in (ROOT / "docs" / SOURCES[source]).read_text()
