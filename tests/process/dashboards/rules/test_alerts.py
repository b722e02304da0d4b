"""Every alert fires when it should, in time, and does not fire otherwise: promtool runs each case."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from dashboards.rules import AlertRule, groups, rule_file
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.alert_cases import CASES
from tests.support.alert_cases.faults import ALWAYS
from tests.support.alert_cases.metrics import FAULT, healthy
from tests.support.alert_cases.stacks import STACKS, rules_of, settings
from tests.support.profiles import is_nightly
from tests.support.promtool import Expectation, binary, run_rules
from tests.support.rule_selection import affected, changed_metrics, needed


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return case → the failures that promtool reports."""
    promtool = binary()
    directory = tmp_path_factory.mktemp("cases")

    def play(name: str) -> str:
        case = CASES[name]
        usual = healthy(settings(case.stack))
        series = dict(usual)
        for apply in case.changes:
            apply(series)
        rules = rules_of(case.stack)
        if case.changes and not is_nightly():
            # The healthy cases run all rules for as long as any other case.
            rules = affected(rules, changed_metrics(usual, series))
        expectations = [Expectation(seconds=FAULT + seconds, alerts=alerts) for seconds, alerts in case.alerts.items()]
        folder = directory / str(list(CASES).index(name))
        folder.mkdir()
        return run_rules(promtool, folder, rules, needed(series, rules), expectations)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(CASES, pool.map(play, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_right_alerts_fire(name: str, failures: dict[str, str]) -> None:
    assert not failures[name]


def test_the_healthy_cases_last_as_long_as_any_other() -> None:
    for stack in STACKS:
        cases = [case for case in CASES.values() if case.stack == stack]
        healthy_until = max(seconds for case in cases if not case.changes for seconds in case.alerts)
        assert healthy_until >= max(seconds for case in cases for seconds in case.alerts)


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    declared = {
        rule.name
        for stack in STACKS
        for group in rules_of(stack)
        for rule in group.rules
        if isinstance(rule, AlertRule)
    }
    assert declared - ALWAYS == {name for case in CASES.values() for alerts in case.alerts.values() for name in alerts}


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_every_alert_has_a_severity_a_summary_and_links(stack: str) -> None:
    loaded = load(stack)
    for group in yaml.safe_load(rule_file(groups(monitoring_config(loaded)), "http://grafana"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["severity"] in ("page", "ticket", "none")
                assert rule["annotations"]["summary"]
                assert rule["annotations"]["runbook_url"] == f"http://grafana/d/runbook-{rule['alert'].lower()}"
                assert rule["annotations"]["dashboard_url"].startswith("http://grafana/d/")


def test_rules_pass_promtools_own_check(tmp_path: Path) -> None:
    promtool = binary()
    for stack in ("local", "dev", "staging", "prod"):
        file = tmp_path / f"{stack}.yml"
        file.write_text(rule_file(groups(monitoring_config(load(stack))), "http://grafana"))
        done = subprocess.run(
            [promtool, "check", "rules", "--lint=all", "--lint-fatal", file], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
