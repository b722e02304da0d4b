"""Tests rules on simulated metrics with Prometheus' own `promtool`: hours pass in seconds, and each run is the same."""

import json
import math
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dashboards.rules import RuleGroup, rule_file
from local.failure import Failure
from local.golang import go_build
from local.jobs import Progress
from local.paths import Home
from tests.support.programs import skip_missing

MODULE = Path(__file__).parents[2] / "local" / "images" / "prometheus"
ENVIRONMENT: Final = os.environ | {"GOGC": "400"}
"""Variables of promtool: with fewer garbage collections a run takes a fifth less, and it needs little memory."""
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


@dataclass(frozen=True, kw_only=True)
class Check:
    """A query, and its expected result."""

    query: str
    seconds: int
    """Since the start."""
    samples: Mapping[str, float] = field(default_factory=dict)
    """Labels, as Prometheus writes them → value."""


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
    checks = [
        Check(
            # Watchdog always fires.
            query='count by (alertname) (ALERTS{alertstate="firing",alertname!="Watchdog"}) > bool 0',
            seconds=expectation.seconds,
            samples={f'{{alertname="{name}"}}': 1 for name in sorted(expectation.alerts)},
        )
        for expectation in expectations
    ] + [
        # If a template has no result, the series shows the template itself.
        Check(query='count by (alertname) (ALERTS{service=~"|.*[{].*"})', seconds=expectation.seconds)
        for expectation in expectations
    ]
    return run_checks(promtool, directory, rules, metrics, checks)


def run_checks(
    promtool: Path,
    directory: Path,
    rules: Sequence[RuleGroup],
    metrics: Metrics,
    checks: Sequence[Check],
    alerts: Sequence[Mapping[str, Any]] = (),
    *,
    seconds: float = 1800,
) -> str:
    """Return the failures that promtool reports; empty if each query has exactly the expected result.

    Args:
        promtool: the program.
        directory: for its files.
        rules: the rules under test.
        metrics: simulated until the last check.
        checks: the queries.
        alerts: expected alerts with their annotations, as `alert_rule_test` of promtool has them.
        seconds: the time that promtool may take.
    """
    (directory / "rules.yml").write_text(rule_file(rules, "http://grafana"))
    times = range(0, max(check.seconds for check in checks) + 1, STEP)
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": series, "values": samples([value(time) for time in times])}
                    for series, value in metrics.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": check.query,
                        "eval_time": f"{check.seconds}s",
                        "exp_samples": [{"labels": labels, "value": value} for labels, value in check.samples.items()],
                    }
                    for check in checks
                ],
                "alert_rule_test": list(alerts),
            }
        ],
    }
    # JSON is YAML, and is written in a fraction of the time.
    (directory / "test.yml").write_text(json.dumps(test))
    done = subprocess.run(
        # With a lower priority, since tests that run at the same time have time limits.
        ["nice", "-n", "5", promtool, "test", "rules", "test.yml"],
        cwd=directory,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    return "" if done.returncode == 0 else re.sub(r"\n\s*\n", "\n", done.stdout + done.stderr)


def samples(values: Sequence[float | None]) -> str:
    """Return the samples in promtool's notation; `stale` marks the end of a series, as after a scrape without it."""
    texts = []
    for previous, value in zip((None, *values), values, strict=False):
        nothing = "_" if previous is None else "stale"
        texts.append(nothing if value is None else f"{value:g}" if value % 1 == 0 and value < 1e6 else _number(value))
    return " ".join(texts)


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(float(value))
