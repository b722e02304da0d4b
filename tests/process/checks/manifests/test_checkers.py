"""The real checkers read every object, and find mistakes that are put into a manifest."""

import copy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from checks.manifests.command import check, run
from checks.manifests.findings import merged
from contracts.metadata import Manifest
from local.failure import Failure
from tests.support.program import rendered
from tests.support.programs import skipping


def _with_mistakes() -> list[Manifest]:
    manifests: list[Any] = copy.deepcopy(rendered("dev"))
    gateway = next(item for item in manifests if item["kind"] == "Deployment" and item["metadata"]["name"] == "gateway")
    container = gateway["spec"]["template"]["spec"]["containers"][0]
    container["securityContext"]["privileged"] = True
    del container["resources"]["limits"]
    service = next(item for item in manifests if item["kind"] == "Service")
    service["spec"]["noSuchField"] = 1
    return manifests


@pytest.mark.nightly  # 40 s of CPU, and a package registry for checkov
def test_each_finding_has_an_answer_and_each_answer_a_finding() -> None:
    output = StringIO()
    with skipping("kube-score", Failure):
        assert run(Console(file=output, width=200)), output.getvalue()


@pytest.mark.nightly
def test_each_checker_finds_a_mistake(tmp_path: Path) -> None:
    with skipping("kube-score", Failure):
        reports = merged(check({"dev": _with_mistakes()}, tmp_path))
    texts = {tool: {f"{item.check} {item.subject}" for item in report.findings} for tool, report in reports.items()}
    assert any("noSuchField" in text for text in texts["kubeconform"])
    assert any("Memory limit is not set" in text and "gateway" in text for text in texts["kube-score"])
    assert any(text.startswith("CKV_K8S_16") and text.endswith("Deployment gateway") for text in texts["checkov"])
