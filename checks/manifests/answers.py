"""The answers to findings: `answers.yaml`, and what differs between it and a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import yaml

from checks.manifests.findings import Finding

FILE: Final = Path(__file__).with_name("answers.yaml")


@dataclass(frozen=True)
class Answer:
    """Why the findings of one check about some objects stay."""

    tool: str
    check: str
    subjects: str
    """A pattern with `*`, like `StatefulSet tempo-*`."""
    reason: str

    def fits(self, finding: Finding) -> bool:
        """Return whether it answers a finding."""
        return (finding.tool, finding.check) == (self.tool, self.check) and fnmatchcase(finding.subject, self.subjects)


def parse(text: str) -> list[Answer]:
    """Read the answers: tool → check → pattern of objects → reason."""
    return [
        Answer(tool, check, subjects, reason)
        for tool, checks in yaml.safe_load(text).items()
        for check, reasons in checks.items()
        for subjects, reason in reasons.items()
    ]


@dataclass(frozen=True)
class Comparison:
    """What differs between the findings and the answers."""

    unanswered: tuple[Finding, ...]
    outdated: tuple[Answer, ...]
    """Answers to findings that no longer exist."""

    @property
    def is_whole(self) -> bool:
        """Whether each finding has an answer, and each answer a finding."""
        return not self.unanswered and not self.outdated


def compare(findings: Iterable[Finding], answers: Iterable[Answer]) -> Comparison:
    """Compare findings with answers."""
    findings, answers = sorted(findings), list(answers)
    return Comparison(
        tuple(finding for finding in findings if not any(answer.fits(finding) for answer in answers)),
        tuple(answer for answer in answers if not any(answer.fits(finding) for finding in findings)),
    )
