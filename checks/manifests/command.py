"""`make manifests`: the manifests of all stacks through kubeconform, kube-score and checkov."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import kubernetes_validate
from rich.console import Console
from rich.table import Table

from checks.harness.tools import go_tool, output_of, python_tools
from checks.manifests.answers import FILE, Comparison, compare, parse
from checks.manifests.findings import Report, checkov_report, kube_score_report, kubeconform_report, merged
from contracts.metadata import Manifest
from contracts.versions import KUBERNETES
from stack.deploy.render import as_yaml, render
from stack.polling import CheckFailure
from stack.settings import ROOT

_SCHEMAS: Final = Path(kubernetes_validate.__file__).with_name("kubernetes-json-schema")
_TOOLS: Final = Path(__file__).with_name("tools")
_DEFINITIONS: Final = "_definitions.json"


def run(console: Console) -> bool:
    """Check the manifests of all stacks; return whether each finding has an answer, and each answer a finding."""
    stacks = {path.name.split(".")[1]: render(path.name.split(".")[1]) for path in sorted(ROOT.glob("Pulumi.*.yaml"))}
    with TemporaryDirectory() as directory:
        reports = merged(check(stacks, Path(directory)))
    comparison = compare(
        (finding for report in reports.values() for finding in report.findings), parse(FILE.read_text())
    )
    console.print(_table(reports, comparison))
    for finding in comparison.unanswered:
        console.print(f"[red]no answer[/red] {finding.tool}, {finding.check}: {finding.subject}", highlight=False)
    for answer in comparison.outdated:
        console.print(
            f"[red]no such finding any more[/red] {answer.tool}, {answer.check}: {answer.subjects}", highlight=False
        )
    return comparison.is_whole


def check(stacks: dict[str, list[Manifest]], directory: Path) -> Iterator[Report]:
    """Run the three checkers.

    Args:
        stacks: the manifests of each stack.
        directory: for the files that the checkers read.

    Yields:
        Each run's report.

    Raises:
        CheckFailure: a checker has not read all objects.
    """
    manifests = directory / "manifests"
    manifests.mkdir()
    files = [manifests / f"{name}.yaml" for name in stacks]
    for file, objects in zip(files, stacks.values(), strict=True):
        file.write_text(as_yaml(objects))
    count = sum(map(len, stacks.values()))
    kinds = {item["kind"] for objects in stacks.values() for item in objects}
    for version in (KUBERNETES[0], KUBERNETES[-1]):
        yield _complete(_kubeconform(files, version, _schemas(version, kinds, directory)), count)
    score: list[str | Path] = [
        go_tool(_TOOLS, "github.com/zegl/kube-score/cmd/kube-score"),
        "score",
        "--output-format=json",
        f"--kubernetes-version=v{KUBERNETES[0]}",
    ]
    for file, objects in zip(files, stacks.values(), strict=True):
        # It reads the kinds that it has checks for.
        workloads = sum(item["kind"] in ("Deployment", "StatefulSet") for item in objects)
        yield _complete(kube_score_report(output_of([*score, file])), workloads)
    # Otherwise checkov asks a server for descriptions, and waits for minutes where none answers.
    options = ["--framework=kubernetes", "--skip-download", "--compact", "--quiet", "--output=json"]
    checkov = python_tools("checkov", _TOOLS / "checkov.lock") / "checkov"
    yield _complete(checkov_report(output_of([checkov, f"--directory={manifests}", *options])), 1)


def _complete(report: Report, count: int) -> Report:
    if report.objects < count:
        raise CheckFailure(f"{report.tool} has read {report.objects} of {count} objects of the stacks")
    return report


def _kubeconform(files: list[Path], version: str, schemas: Path) -> Report:
    command: list[str | Path] = [
        go_tool(_TOOLS, "github.com/yannh/kubeconform/cmd/kubeconform"),
        "-strict",
        "-output=json",
        "-verbose",
        "-n=1",
    ]
    command += ["-schema-location", f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"]
    return kubeconform_report(output_of([*command, *files]), version)


def _schemas(version: str, kinds: set[str], directory: Path) -> Path:
    """Copy the schemas of these kinds, so that their references are to files next to them.

    The schemas of kubernetes-validate have identifiers below kubernetes.io, where no server has them.
    """
    folder = directory / f"schemas-{version}"
    folder.mkdir()
    source = _SCHEMAS / f"v{version}.0-local-strict"
    files = [source / _DEFINITIONS, *(file for kind in kinds for file in source.glob(f"{kind.lower()}-*.json"))]
    for file in files:
        schema = json.loads(file.read_text().replace(f"/api/{_DEFINITIONS}", _DEFINITIONS))
        schema.pop("$id", None)
        (folder / file.name).write_text(json.dumps(schema))
    return folder


def _table(reports: dict[str, Report], comparison: Comparison) -> Table:
    table = Table("checker", "objects read", "findings", "without an answer")
    for tool, report in reports.items():
        unanswered = sum(finding.tool == tool for finding in comparison.unanswered)
        table.add_row(tool, f"{report.objects:,}", f"{len(report.findings):,}", f"{unanswered:,}")
    return table
