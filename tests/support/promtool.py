"""Rules on played metrics, judged by Prometheus' own `promtool`: hours pass in seconds, and every run is the same."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dashboards.rules import groups, rule_file
from local.failure import Failure
from local.golang import go_build
from local.jobs import Progress
from local.paths import Home
from stack.settings import Settings
from stack.settings.monitoring import monitoring_config

MODULE = Path(__file__).parents[2] / "local" / "images" / "prometheus"
STEP = 15
"""Seconds between two scrapes, and between two evaluations of the rules."""

Value = Callable[[float], float | None]
"""Seconds since the start → the sample; None while the series is not there."""
Metrics = Mapping[str, Value]
"""Series, as Prometheus writes them → their samples."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What must fire at a moment: these alerts, and no others."""

    at: int
    """Seconds since the start."""
    fires: frozenset[str]


def binary() -> Path:
    """promtool of the Prometheus that the stack runs; skips the test where it cannot be compiled."""
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
        pytest.skip(f"no promtool: {reason}")
    return output


def judge(
    promtool: Path, directory: Path, settings: Settings, played: Metrics, seconds: int, looks: Sequence[Look]
) -> str:
    """What promtool has to object; empty if at every moment exactly the wanted alerts fire.

    Args:
        promtool: the program.
        directory: for its files.
        settings: of the stack whose rules are tested.
        played: the metrics.
        seconds: how long they are played.
        looks: what must fire, and when.
    """
    (directory / "rules.yml").write_text(rule_file(groups(monitoring_config(settings)), "http://grafana"))
    moments = range(0, seconds + 1, STEP)
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": series, "values": _samples([value(moment) for moment in moments])}
                    for series, value in played.items()
                ],
                "promql_expr_test": [
                    {
                        # Watchdog always fires.
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing",alertname!="Watchdog"}) > bool 0',
                        "eval_time": f"{look.at}s",
                        "exp_samples": [
                            {"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(look.fires)
                        ],
                    }
                    for look in looks
                ]
                + [
                    {
                        # Where a template leaves nothing, the series shows the template.
                        "expr": 'count by (alertname) (ALERTS{service=~"|.*[{].*"})',
                        "eval_time": f"{look.at}s",
                        "exp_samples": [],
                    }
                    for look in looks
                ],
            }
        ],
    }
    (directory / "test.yml").write_text(yaml.safe_dump(test, width=10**9))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=directory, capture_output=True, text=True, timeout=120
    )
    return "" if done.returncode == 0 else re.sub(r"\n\s*\n", "\n", done.stdout + done.stderr)


def _samples(values: Sequence[float | None]) -> str:
    """A series that ends is marked so, as Prometheus does it when a scrape no longer has it."""
    texts = []
    for before, value in zip((None, *values), values, strict=False):
        nothing = "_" if before is None else "stale"
        texts.append(
            nothing if value is None else f"{value:g}" if value == int(value) and value < 1e6 else repr(float(value))
        )
    return " ".join(texts)
