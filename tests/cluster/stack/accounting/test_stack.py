"""The command counts the spans of the local stack at each stage."""

import json

from dashboards.rules.stages import stages
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.command_line import wct


def test_the_spans_of_the_local_stack_are_counted() -> None:
    result = wct("spans", "local", "--since", "30m", "--json")
    printed = json.loads(result.stdout)
    assert result.exit_code == (2 if printed["other_way_until"] else 1 if printed["lost"] else 0)
    assert {count["stage"] for count in printed["counts"]} == {
        stage.name for stage in stages(monitoring_config(load("local")))
    }
    assert all(count["spans"] > 0 for count in printed["counts"] if count["stage"] in ("ended", "exported", "stored"))
