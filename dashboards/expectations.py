"""What the queries of a runbook return while a fault is in the stack: the file `runbooks/expects.yaml`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

RUNBOOKS: Final = Path(__file__).parent / "runbooks"
_FILE: Final = RUNBOOKS / "expects.yaml"
_QUERY: Final = re.compile(r"^ *```(promql|logql)\n(.*?)\n *```$", re.MULTILINE | re.DOTALL)
_RULE: Final = re.compile(
    r"(?P<amount>none|some|all)"
    r"(?: (?P<comparison>[<>]=?|[!=]=) (?P<limit>-?[\d.]+))?"
    r"(?: where (?P<labels>\S+=\S+(?:,\S+=\S+)*))?"
)
_COMPARE: Final = {
    "<": float.__lt__,
    ">": float.__gt__,
    "<=": float.__le__,
    ">=": float.__ge__,
    "==": float.__eq__,
    "!=": float.__ne__,
}

Row = tuple[Mapping[str, str], float]
"""The labels and the value of a series, or the labels and 1 of a log line."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query of a runbook."""

    language: str
    """`promql` or `logql`."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The expected result of one query of a runbook for one fault."""

    runbook: str
    fault: str
    number: int
    """Of the query among the queries of the page, from 1."""
    rule: str

    def is_met(self, rows: Sequence[Row]) -> bool:
        """Whether a result is as expected."""
        return is_met(self.rule, rows)


def is_met(rule: str, rows: Sequence[Row]) -> bool:
    """Whether a result follows a rule of the file.

    Raises:
        ValueError: the rule is malformed.
    """
    parts = _RULE.fullmatch(rule)
    if not parts:
        raise ValueError(f"{rule!r} is no expectation")
    labels = dict(pair.split("=", 1) for pair in (parts["labels"] or "").split(",") if pair)
    values = [value for series, value in rows if labels.items() <= dict(series).items()]
    fits = [
        not parts["comparison"] or bool(_COMPARE[parts["comparison"]](float(value), float(parts["limit"])))
        for value in values
    ]
    if parts["amount"] == "none":
        return not any(fits)
    return any(fits) if parts["amount"] == "some" else bool(fits) and all(fits)


def queries(runbook: str) -> list[Query]:
    """The queries of a runbook for Prometheus and Loki, in their order."""
    page = (RUNBOOKS / f"{runbook}.md").read_text()
    return [Query(language=language, text=text.strip()) for language, text in _QUERY.findall(page)]


def expectations(fault: str | None = None) -> list[Expectation]:
    """What the runbooks expect of a fault, or of all."""
    document = yaml.safe_load(_FILE.read_text())
    return [
        Expectation(runbook=runbook, fault=name, number=number, rule=rule)
        for runbook, names in document.items()
        for name, rules in names.items()
        for number, rule in rules.items()
        if fault in (None, name)
    ]
