"""What the checkers say about manifests, in one form."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_KUBE_SCORE_OK: Final = 10


@dataclass(frozen=True, order=True)
class Finding:
    """A problem of one object or container."""

    tool: str
    check: str
    """The check's id, and what it demands."""
    subject: str
    """Like `StatefulSet kafka`, or `StatefulSet kafka/format` for a container."""


@dataclass(frozen=True)
class Report:
    """The findings of one run, and how many objects the tool has read."""

    tool: str
    objects: int
    findings: frozenset[Finding]


def kubeconform_report(output: str, version: str) -> Report:
    """Read the JSON of kubeconform for one version of Kubernetes."""
    resources = json.loads(output)["resources"]
    return Report(
        "kubeconform",
        sum(item["status"] != "statusSkipped" for item in resources),
        frozenset(
            Finding("kubeconform", f"Kubernetes {version}: {item['msg']}", f"{item['kind']} {item['name']}")
            for item in resources
            if item["status"] != "statusValid"
        ),
    )


def kube_score_report(output: str) -> Report:
    """Read the JSON of kube-score."""
    objects = json.loads(output)
    return Report(
        "kube-score",
        len(objects),
        frozenset(
            Finding("kube-score", f"{check['check']['id']}: {comment['summary']}", _subject(item, comment))
            for item in objects
            for check in item["checks"]
            if not check["skipped"] and check["grade"] < _KUBE_SCORE_OK
            for comment in check["comments"] or [{"summary": check["check"]["name"], "path": ""}]
        ),
    )


def _subject(item: Mapping[str, Any], comment: Mapping[str, Any]) -> str:
    name = f"{item['type_meta']['kind']} {item['object_meta']['name']}"
    return f"{name}/{comment['path']}" if comment.get("path") else name


def checkov_report(output: str) -> Report:
    """Read the JSON of checkov."""
    report = json.loads(output)
    results = report["results"]
    files = (Finding("checkov", "cannot be read", str(file)) for file in results.get("parsing_errors", ()))
    failed = (
        Finding("checkov", f"{item['check_id']}: {item['check_name']}", _without_namespace(item["resource"]))
        for item in results["failed_checks"]
    )
    return Report("checkov", report["summary"]["resource_count"], frozenset([*files, *failed]))


def _without_namespace(resource: str) -> str:
    """`StatefulSet.tracing.kafka` → `StatefulSet kafka`."""
    kind, _, name = resource.split(".", 2)
    return f"{kind} {name}"


def merged(reports: Iterable[Report]) -> dict[str, Report]:
    """Return one report a tool."""
    result: dict[str, Report] = {}
    for report in reports:
        previous = result.get(report.tool, Report(report.tool, 0, frozenset()))
        result[report.tool] = Report(
            report.tool, previous.objects + report.objects, previous.findings | report.findings
        )
    return result
