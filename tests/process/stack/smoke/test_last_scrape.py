"""The smoke check awaits the scrape of each pod that runs, as Prometheus' own `promtool` computes it."""

import subprocess
from pathlib import Path

import yaml

from stack.smoke.acknowledged import last_scrape
from tests.support.promtool import binary


def test_a_pod_that_ended_without_a_mark_is_not_awaited(tmp_path: Path) -> None:
    """So it is after a restart of Prometheus: its last samples are found for five minutes."""
    expected = {
        "min(timestamp(x))": 60,
        last_scrape("x"): 150,
        last_scrape('x{pod="late"}'): 150,
    }
    test = {
        "interval": "15s",
        "input_series": [  # one sample every 15 s, from 0 to 180 s
            {"series": 'x{pod="running"}', "values": "1x12"},
            {"series": 'x{pod="ended"}', "values": "1x4 _x8"},
            {"series": 'x{pod="late"}', "values": "1x10 _x2"},
        ],
        "promql_expr_test": [
            {"expr": query, "eval_time": "180s", "exp_samples": [{"labels": "{}", "value": seconds}]}
            for query, seconds in expected.items()
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    result = subprocess.run([binary(), "test", "rules", file], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
