"""Findings and answers: a new finding is reported, and so is an answer that is about nothing any more."""

import json

from checks.manifests.answers import FILE, Answer, compare, parse
from checks.manifests.findings import Finding, checkov_report, kube_score_report, kubeconform_report

LIMIT = Finding("kube-score", "container-resources: CPU limit is not set", "StatefulSet kafka/format")
ANSWERS = parse(
    """
    kube-score:
      "container-resources: CPU limit is not set":
        "StatefulSet kafka*": It throttles.
    """
)


def test_an_answered_finding_is_no_difference() -> None:
    answer = Answer("kube-score", LIMIT.check, "StatefulSet kafka*", "It throttles.")
    assert [answer] == ANSWERS
    assert compare([LIMIT], ANSWERS).is_whole


def test_a_finding_of_another_object_or_check_or_tool_is_new() -> None:
    others = [
        Finding(LIMIT.tool, LIMIT.check, "StatefulSet loki/loki"),
        Finding(LIMIT.tool, "container-resources: Memory limit is not set", LIMIT.subject),
        Finding("checkov", LIMIT.check, LIMIT.subject),
    ]
    comparison = compare([LIMIT, *others], ANSWERS)
    assert comparison.unanswered == tuple(sorted(others))
    assert not comparison.outdated


def test_an_answer_without_a_finding_is_outdated() -> None:
    comparison = compare([], ANSWERS)
    assert comparison.outdated == tuple(ANSWERS)
    assert not comparison.is_whole


def test_each_answer_of_the_project_is_a_sentence_in_one_line() -> None:
    answers = parse(FILE.read_text())
    assert answers
    for answer in answers:
        assert answer.reason.endswith("."), answer
        assert "\n" not in answer.reason


def test_kubeconform_s_problems_are_findings_of_a_version() -> None:
    output = {
        "resources": [
            {"kind": "Service", "name": "kafka", "status": "statusValid", "msg": ""},
            {"kind": "Service", "name": "loki", "status": "statusInvalid", "msg": "port: got string"},
            {"kind": "Probe", "name": "x", "status": "statusError", "msg": "could not find schema for Probe"},
        ]
    }
    report = kubeconform_report(json.dumps(output), "1.37")
    assert report.objects == 3
    assert report.findings == {
        Finding("kubeconform", "Kubernetes 1.37: port: got string", "Service loki"),
        Finding("kubeconform", "Kubernetes 1.37: could not find schema for Probe", "Probe x"),
    }


def test_kube_score_s_low_grades_are_findings_of_objects_and_containers() -> None:
    check = {"check": {"id": "container-resources", "name": "Resources"}, "grade": 1, "skipped": False}
    few = {"check": {"id": "deployment-replicas", "name": "Replicas"}, "grade": 5, "skipped": False}
    output = [
        {
            "type_meta": {"kind": "StatefulSet"},
            "object_meta": {"name": "kafka"},
            "checks": [
                {**check, "comments": [{"path": "format", "summary": "CPU limit is not set"}]},
                {**few, "comments": None},
                {**few, "skipped": True, "comments": None},
                {**few, "grade": 10, "comments": None},
            ],
        }
    ]
    report = kube_score_report(json.dumps(output))
    assert report.objects == 1
    assert report.findings == {LIMIT, Finding("kube-score", "deployment-replicas: Replicas", "StatefulSet kafka")}


def test_checkov_s_failed_checks_and_unread_files_are_findings() -> None:
    failed = {"check_id": "CKV_K8S_43", "check_name": "Image should use digest", "resource": "Deployment.tracing.web"}
    output = {
        "results": {"failed_checks": [failed], "parsing_errors": ["/dev.yaml"]},
        "summary": {"resource_count": 7},
    }
    report = checkov_report(json.dumps(output))
    assert report.objects == 7
    assert report.findings == {
        Finding("checkov", "CKV_K8S_43: Image should use digest", "Deployment web"),
        Finding("checkov", "cannot be read", "/dev.yaml"),
    }
