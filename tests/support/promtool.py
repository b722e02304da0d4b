"""Tests rules on simulated metrics with Prometheus' own `promtool`: hours pass in seconds, and each run is the same."""

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dashboards.rules import RuleGroup, rule_file
from local.failure import Failure
from local.golang import go_build
from local.jobs import Progress
from local.paths import Home
from tests.support.programs import skip_missing

MODULE = Path(__file__).parents[2] / "local" / "images" / "prometheus"
STEP = 15
"""Seconds between two scrapes, and between two evaluations of the rules."""

Value = Callable[[float], float | None]
"""Seconds since the start → the sample; None while the series does not exist."""
Metrics = Mapping[str, Value]
"""Series, as Prometheus writes them → their samples."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The alerts that fire at a time, and no others."""

    seconds: int
    """Since the start."""
    alerts: frozenset[str]


def binary() -> Path:
    """Return promtool of the Prometheus that the stack runs; skip the test if it cannot be compiled."""
    home = Home.default()
    output = home.bin / "promtool"
    try:
        go_build(
            Progress("promtool", logs=home.logs),
            MODULE,
            output,
            package="github.com/prometheus/prometheus/cmd/promtool",
            tags=("remove_all_sd", "enable_dns_sd"),
        )
    except Failure as reason:
        skip_missing("promtool", str(reason))
    return output


def run_rules(
    promtool: Path, directory: Path, rules: Sequence[RuleGroup], metrics: Metrics, expectations: Sequence[Expectation]
) -> str:
    """Return the failures that promtool reports; empty if exactly the expected alerts fire at each time.

    Args:
        promtool: the program.
        directory: for its files.
        rules: the rules under test.
        metrics: simulated until the last expectation.
        expectations: which alerts must fire, and when.
    """
    (directory / "rules.yml").write_text(rule_file(rules, "http://grafana"))
    times = range(0, max(expectation.seconds for expectation in expectations) + 1, STEP)
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": series, "values": _samples([value(time) for time in times])}
                    for series, value in metrics.items()
                ],
                "promql_expr_test": [
                    {
                        # Watchdog always fires.
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing",alertname!="Watchdog"}) > bool 0',
                        "eval_time": f"{expectation.seconds}s",
                        "exp_samples": [
                            {"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expectation.alerts)
                        ],
                    }
                    for expectation in expectations
                ]
                + [
                    {
                        # If a template has no result, the series shows the template itself.
                        "expr": 'count by (alertname) (ALERTS{service=~"|.*[{].*"})',
                        "eval_time": f"{expectation.seconds}s",
                        "exp_samples": [],
                    }
                    for expectation in expectations
                ],
            }
        ],
    }
    (directory / "test.yml").write_text(yaml.safe_dump(test, width=10**9))
    done = subprocess.run(
        # With the lowest priority, since tests that run at the same time have time limits.
        ["nice", "-n", "19", promtool, "test", "rules", "test.yml"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return "" if done.returncode == 0 else re.sub(r"\n\s*\n", "\n", done.stdout + done.stderr)


def _samples(values: Sequence[float | None]) -> str:
    """Return the samples in promtool's notation; `stale` marks the end of a series, as after a scrape without it."""
    texts = []
    for previous, value in zip((None, *values), values, strict=False):
        nothing = "_" if previous is None else "stale"
        texts.append(
            nothing if value is None else f"{value:g}" if value == int(value) and value < 1e6 else repr(float(value))
        )
    return " ".join(texts)
