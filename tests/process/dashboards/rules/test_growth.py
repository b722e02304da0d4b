"""The increase of counters that rules and rollouts query is exact, as Prometheus' own `promtool` computes it."""

import re
import subprocess
from pathlib import Path
from typing import Final

import yaml

from dashboards.queries import exact_increase
from stack.rollout.measurements import growth
from tests.support.promtool import binary

_ANSWERS: Final = {"up": "1x8"}
# Samples at 0, 15, … 120 s. The query is for the minute before 120 s; the last sample before the minute is at 60 s.
CASES: Final[dict[str, tuple[dict[str, str], int]]] = {
    "it goes on counting": ({"x": "0 1 2 3 4 5 6 7 8"}, 4),
    "it does not change": ({"x": "3x8"}, 0),
    "it is new, with much at once": ({"x": "_x6 50 51 52", **_ANSWERS}, 52),
    "its process restarted before the first scrape of the minute": ({"x": "96 97 98 99 100 1 2 3 4"}, 4),
    # increase() extrapolates from three quarters of the minute to the whole.
    "its process restarted within the minute": ({"x": "10 11 12 13 14 15 2 3 4"}, 5),
    "its process ended within the minute": ({"x": "1 2 3 4 5 6 stale"}, 1),
    "its target could not be scraped": ({"x": "7 7 7 7 stale _ 7 7 7", "up": "1 1 1 1 0 0 1 1 1"}, 0),
    "its target could not be scraped, and counted on": ({"x": "7 7 7 7 stale _ 9 9 9", "up": "1 1 1 1 0 0 1 1 1"}, 2),
    "another process, whose first value is the same": ({"x": "7 7 7 7 stale _ 7 7 7", **_ANSWERS}, 7),
    "a pod ended and another began": ({"x": "1 2 3 4 5 6 stale", 'x{pod="b"}': "_x6 3 4 5", **_ANSWERS}, 6),
    "all of it": ({"x": "50 50 50 50 50 1 2 3 4", 'x{pod="b"}': "_x6 3 4 5", **_ANSWERS}, 9),
}


def test_growth_is_exact_across_restarts_new_pods_and_gaps(tmp_path: Path) -> None:
    def series(name: str, values: str, number: int) -> dict[str, str]:
        labels = f'job="j",instance="{number}",' + (re.findall(r"{(.*)}", name) or [""])[0]
        return {"series": f"{name.partition('{')[0]}{{{labels.rstrip(',')}}}", "values": values}

    simulated = [
        series(name, values, number)
        for number, (samples, _) in enumerate(CASES.values())
        for name, values in samples.items()
    ]
    queries = [
        query
        for number, (_, expected) in enumerate(CASES.values())
        for query in (
            (exact_increase(f'x{{instance="{number}"}}', "60s", "job"), expected),
            (growth(f'x{{instance="{number}"}} or y{{instance="{number}"}}', 60, "job"), expected),
        )
    ]
    tests = [
        {
            "expr": f"round({query})",
            "eval_time": "120s",
            "exp_samples": [{"labels": '{job="j"}', "value": expected}],
        }
        for query, expected in queries
    ]
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump(
            {"tests": [{"interval": "15s", "input_series": simulated, "promql_expr_test": tests}]}, width=10**9
        )
    )
    done = subprocess.run([binary(), "test", "rules", file], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
