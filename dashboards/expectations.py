"""What the queries of a runbook return while something is wrong: the file `runbooks/expects.yaml`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

RUNBOOKS: Final = Path(__file__).parent / "runbooks"
_FILE: Final = RUNBOOKS / "expects.yaml"
_QUERY: Final = re.compile(r"^ *```(promql|logql)\n(.*?)\n *```$", re.MULTILINE | re.DOTALL)
RESOLVED: Final = "Resolved when"
_RULE: Final = re.compile(
    r"(?P<amount>none|some|all)"
    r"(?: (?P<comparison>[<>]=?|[!=]=) (?P<limit>-?[\d.]+))?"
    r"(?: where (?P<labels>[^,=\s]+=[^,=]+(?:,[^,=\s]+=[^,=]+)*))?"
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
    introduction: str
    """What it shows: the line above it; `Resolved when` in the section of that name."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The expected result of one query of a runbook in one state."""

    runbook: str
    state: str
    """A fault of the drill, or a simulated case of the tests."""
    query: str
    """What the query shows, in words of the line above it: see `find_query`."""
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
    resolved = page.index(f"## {RESOLVED}")
    result, end = [], 0
    for block in _QUERY.finditer(page):
        lines = [line.strip() for line in page[end : block.start()].splitlines() if line.strip()]
        introduction = RESOLVED if block.start() > resolved else lines[-1] if lines else ""
        result.append(Query(language=block[1], text=block[2].strip(), introduction=introduction))
        end = block.end()
    return result


def find_query(runbook: str, shows: str) -> Query:
    """The query of a runbook whose introduction has these words.

    Raises:
        LookupError: no query has them, or several.
    """
    matches = [query for query in queries(runbook) if shows.lower() in query.introduction.lower()]
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} queries of {runbook} are introduced by {shows!r}; one must be")
    return matches[0]


def expectations(state: str | None = None) -> list[Expectation]:
    """What the runbooks expect in a state, or in all."""
    document = yaml.safe_load(_FILE.read_text())
    return [
        Expectation(runbook=runbook, state=name, query=query, rule=rule)
        for runbook, states in document.items()
        for name, rules in states.items()
        for query, rule in rules.items()
        if state in (None, name)
    ]
