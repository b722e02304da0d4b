"""The page about capacity has the sums of the manifests, and the figures of the pages that it links to."""

import re
from decimal import Decimal

import pytest
from kubernetes.utils.quantity import parse_quantity

from stack.settings import ROOT
from tests.support.program import rendered_with_secrets

PAGE = (ROOT / "docs" / "capacity.md").read_text()
STACKS = re.findall(r"^\| `Pulumi\.(\w+)\.yaml` \| (.+) \|$", PAGE, re.MULTILINE)
FIGURES = re.findall(r"^\| [^|]+ \| \[([^]]+)\]\[(\w+)\] \| \d{4}-\d\d-\d\d \|", PAGE, re.MULTILINE)
SOURCES = dict(re.findall(r"^\[(\w+)\]: (\S+)$", PAGE, re.MULTILINE))


@pytest.mark.parametrize(("stack", "row"), STACKS, ids=[stack for stack, _ in STACKS])
def test_the_sums_are_those_of_the_manifests(stack: str, row: str) -> None:
    pods, cpu, memory, volumes = Decimal(0), Decimal(0), Decimal(0), Decimal(0)
    for item in rendered_with_secrets(stack):
        if item["kind"] not in ("Deployment", "StatefulSet"):
            continue
        replicas = item["spec"].get("replicas", 1)
        pods += replicas
        for container in item["spec"]["template"]["spec"]["containers"]:
            resources = container["resources"]
            assert resources["requests"]["memory"] == resources["limits"]["memory"]
            assert "cpu" not in resources["limits"]
            cpu += replicas * parse_quantity(resources["requests"]["cpu"])
            memory += replicas * parse_quantity(resources["requests"]["memory"])
        for claim in item["spec"].get("volumeClaimTemplates", []):
            volumes += replicas * parse_quantity(claim["spec"]["resources"]["requests"]["storage"])
    assert row == f"{pods} | {cpu:.2f} | {memory / 2**30:.1f} GiB | {volumes / 2**30:.0f} GiB"


def test_there_are_rows() -> None:
    assert [stack for stack, _ in STACKS] == ["dev", "staging", "prod"]
    assert len(FIGURES) > 5


@pytest.mark.parametrize(("figure", "source"), FIGURES, ids=[figure for figure, _ in FIGURES])
def test_a_figure_is_in_the_page_that_explains_it(figure: str, source: str) -> None:
    number = re.search(r"[\d,.]+", figure)
    assert number
    assert number[0] in (ROOT / "docs" / SOURCES[source]).read_text()
