"""Runs queries on simulated metrics with Prometheus' own `promtool`, and returns their results."""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import yaml

from dashboards.expectations import Row
from dashboards.rules import RuleGroup, rule_file
from tests.support.promtool import ENVIRONMENT, STEP, Metrics, samples

_UNEXPECTED: Final = [{"labels": "no_query_has_this_result", "value": 0}]
"""promtool prints a result only if it is not the expected one."""
_RESULT: Final = re.compile(r"\s*expr: .*?, time: \S+\s+exp: .*?\s+got: (?P<rows>.*)", re.DOTALL)
_ROW: Final = re.compile(r'\{(?P<labels>(?:[^"{}]|"(?:[^"\\]|\\.)*")*)\} (?P<value>\S+?)(?:, |$)')
_LABEL: Final = re.compile(r'"?(?P<name>[^"=,\s]+)"?=(?P<value>"(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query, and when it runs."""

    text: str
    seconds: int
    """Since the start of the simulation."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Simulated metrics, and queries on them."""

    rules: Sequence[RuleGroup]
    """Those whose results the queries read."""
    metrics: Metrics
    queries: Sequence[Query]
    begins: int = 0
    """The first second that is simulated, at most 0: a query may look back at the day before."""


def results(promtool: Path, directory: Path, simulations: Sequence[Simulation]) -> list[list[list[Row]]]:
    """Return the results of the queries of each simulation, in one run of promtool.

    Args:
        promtool: the program.
        directory: for its files.
        simulations: each runs on its own.
    """
    files = [_test_file(directory / str(number), simulation) for number, simulation in enumerate(simulations)]
    report = directory / "report.xml"
    done = subprocess.run(
        ["nice", "-n", "5", promtool, "test", "rules", f"--junit={report}", *files],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert report.exists(), done.stdout + done.stderr
    suites = ElementTree.parse(report).getroot().findall("testsuite")
    return [
        [_rows(failure.text or "") for failure in suite.iter("failure")]
        for suite, simulation in zip(suites, simulations, strict=True)
    ]


def _test_file(directory: Path, simulation: Simulation) -> Path:
    directory.mkdir()
    (directory / "rules.yml").write_text(rule_file(simulation.rules, "http://grafana"))
    times = range(simulation.begins, max(query.seconds for query in simulation.queries) + 1, STEP)
    test = {
        "interval": f"{STEP}s",
        "input_series": [
            {"series": series, "values": samples([value(time) for time in times])}
            for series, value in simulation.metrics.items()
        ],
        "promql_expr_test": [
            {
                "expr": query.text,
                "eval_time": f"{query.seconds - simulation.begins}s",
                "exp_samples": _UNEXPECTED,
            }
            for query in simulation.queries
        ],
    }
    file = directory / "test.yml"
    document = {"rule_files": ["rules.yml"], "evaluation_interval": f"{STEP}s", "tests": [test]}
    file.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, width=10**9))
    return file


def _rows(failure: str) -> list[Row]:
    result = _RESULT.fullmatch(failure)
    assert result, failure
    return [
        (
            {label["name"]: json.loads(label["value"]) for label in _LABEL.finditer(row["labels"])},
            float(row["value"]),
        )
        for row in _ROW.finditer(result["rows"])
    ]
