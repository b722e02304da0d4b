"""What an alert says about the users is what the metrics say: promtool evaluates the templates of its annotations."""

from pathlib import Path
from typing import Final

from dashboards.rules import groups
from stack.settings.monitoring import monitoring_config
from tests.support.alert_cases.faults import REQUEST
from tests.support.alert_cases.metrics import REQUESTS, constant, counter, healthy
from tests.support.alert_cases.stacks import settings
from tests.support.promtool import Check, binary, run_checks
from tests.support.rule_selection import needed

_SECONDS: Final = 600


def test_an_alert_names_operation_users_last_start_and_the_first_answer(tmp_path: Path) -> None:
    stack = settings("plain")
    rules = [group for group in groups(monitoring_config(stack)) if group.name in ("users", "availability")]
    series = dict(healthy(stack))
    (postgres,) = (name for name in series if name.startswith("dependency_up") and "postgres" in name)
    series[postgres] = constant(0)
    (started,) = (name for name in series if name.startswith("process_start_time_seconds") and "gateway" in name)
    series[started] = constant(60)
    series['up{job="gateway",instance="gateway-canary",track="canary"}'] = constant(1)
    series[f'http_server_requests_total{{{REQUEST},status="503"}}'] = counter(REQUESTS / 10)
    alert = {
        "eval_time": f"{_SECONDS}s",
        "alertname": "DependencyDown",
        "exp_alerts": [
            {
                "exp_labels": {
                    "job": "task-manager",
                    "dependency": "postgres",
                    "service": "task-manager",
                    "severity": "page",
                },
                "exp_annotations": {
                    "summary": "task-manager cannot reach postgres",
                    "description": "No pod of task-manager reaches postgres. Accepted tasks and messages wait.",
                    "operation": "task-manager → postgres",
                    "users": "300 of 3300 requests failed (9.091%). 3000 tasks ended: 0 late, 0 with an error."
                    " 2 tasks are open.",
                    "changed": "gateway started at 1970-01-01 00:01:00 +0000 UTC; a rollout runs: canary of gateway",
                    "answer": "dependency=postgres job=task-manager 0",
                    "explain": "./wct explain DependencyDown --stack ",
                    "runbook_url": "http://grafana/d/runbook-dependencydown",
                    "dashboard_url": "http://grafana/d/services",
                },
            }
        ],
    }
    checks = [Check(query="vector(1) < 1", seconds=_SECONDS)]
    assert not run_checks(binary(), tmp_path, rules, needed(series, rules), checks, [alert])
