"""The real Alertmanager accepts the configurations of the stack."""

import re
from pathlib import Path

import pytest
import yaml

from stack.components.alertmanager.config import alertmanager_config
from stack.deploy.render import render
from tests.support.alerting import EVERYTHING
from tests.support.alertmanager_process import AlertmanagerProcess


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_the_real_alertmanager_accepts_what_is_rendered(stack: str, tmp_path: Path) -> None:
    configs = [item for item in render(stack) if item["metadata"]["name"] == "alertmanager-config"]
    process = AlertmanagerProcess(tmp_path, yaml.safe_load(configs[0]["data"]["alertmanager.yml"]), {})
    process.start()
    process.stop()
    warnings = [line for line in process.log.splitlines() if re.search(r"level=(WARN|ERROR)", line)]
    assert len(warnings) == 1, warnings
    assert "Experimental receiver name in metrics" in warnings[0]


def test_the_real_alertmanager_accepts_every_kind_of_receiver(tmp_path: Path) -> None:
    process = AlertmanagerProcess(tmp_path, alertmanager_config(EVERYTHING), {})
    process.start()
    process.stop()


def test_the_real_alertmanager_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """Otherwise an accepted configuration would prove nothing."""
    process = AlertmanagerProcess(tmp_path, alertmanager_config(EVERYTHING) | {"no_such_section": {}}, {})
    with pytest.raises(AssertionError, match="no_such_section"):
        process.start()
