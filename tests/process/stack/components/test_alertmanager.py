"""Alertmanager's configuration: who is told of what, and that the real one takes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import secret_keys
from dashboards.rules import AlertRule, groups
from stack.components.alertmanager.config import INHIBITIONS, alertmanager_config
from stack.components.alertmanager.settings import Alerting
from stack.deploy.preflight import require_secrets
from stack.deploy.render import render
from stack.errors import DeployError
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.alertmanager_process import SECRETS, AlertmanagerProcess

EVERYTHING = Alerting.model_validate(
    {
        "page": {"webhook": True, "slack": True, "pagerduty": True, "email": ["oncall@example.com", "b@example.com"]},
        "ticket": {"webhook": True, "slack": True, "pagerduty": True, "email": ["team@example.com"]},
        "heartbeatMinutes": 5,
        "smtp": {"host": "smtp.example.com:587", "sender": "alerts@example.com", "username": "alerts"},
        "pagerdutyRegion": "eu",
    }
)
NOBODY = Alerting()
STACKS = ("local", "dev", "staging", "prod")


def receivers(settings: Alerting) -> dict[str, dict[str, Any]]:
    return {receiver.pop("name"): receiver for receiver in alertmanager_config(settings)["receivers"]}


def secret_files(node: Any) -> set[str]:
    """Everything in a configuration that is read from a secret's file."""
    if isinstance(node, dict):
        return {str(value) for key, value in node.items() if key.endswith("_file")}.union(
            *(secret_files(value) for value in node.values())
        )
    return set[str]().union(*(secret_files(item) for item in node)) if isinstance(node, list) else set()


def test_every_secret_is_a_file_and_every_file_a_needed_secret() -> None:
    assert secret_files(alertmanager_config(EVERYTHING)) == {f"{SECRETS}/{key}" for key in EVERYTHING.needed_secrets}
    assert set(EVERYTHING.needed_secrets) == {key for key in secret_keys.OPTIONAL if key.startswith("alert")}
    assert set(EVERYTHING.needed_secrets) <= set(secret_keys.OPTIONAL)
    clear = {"url", "api_url", "routing_key", "smtp_auth_password"}
    (page, ticket) = (receivers(EVERYTHING)[name] for name in ("page", "ticket"))
    for kind, configs in [*page.items(), *ticket.items()]:
        assert not clear & configs[0].keys() - ({"url"} if kind == "pagerduty_configs" else set())


def test_without_receivers_nothing_is_needed_and_nobody_is_told() -> None:
    assert NOBODY.needed_secrets == ()
    assert receivers(NOBODY) == {"page": {}, "ticket": {}, "nobody": {}}
    assert EVERYTHING.model_copy(update={"enabled": False}).needed_secrets == ()


def test_severities_have_their_receivers_and_what_is_unknown_is_a_ticket() -> None:
    route = alertmanager_config(EVERYTHING)["route"]
    by_matcher = {each["matchers"][0]: each["receiver"] for each in route["routes"]}
    assert by_matcher == {'severity="page"': "page", 'alertname="Watchdog"': "heartbeat", 'severity="none"': "nobody"}
    assert route["receiver"] == "ticket"
    without = alertmanager_config(NOBODY)["route"]["routes"]
    assert "heartbeat" not in {each["receiver"] for each in without}


def test_pages_do_not_wait_and_repeats_outlive_no_memory() -> None:
    """It forgets what it has told after five days, and would tell it again."""

    def seconds(duration: str) -> int:
        return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]

    route = alertmanager_config(EVERYTHING)["route"]
    page, heartbeat, _ = route["routes"]
    assert seconds(page["group_wait"]) <= 5
    for each in (route, page):
        assert seconds(each["group_wait"]) <= seconds(each["group_interval"]) < seconds(each["repeat_interval"])
        assert seconds(each["repeat_interval"]) < 5 * 24 * 3600
    assert seconds(heartbeat["repeat_interval"]) < seconds(heartbeat["group_interval"]) == 300


def test_mail_goes_to_all_addresses_encrypted_as_it_was_said() -> None:
    assert receivers(EVERYTHING)["page"]["email_configs"][0]["to"] == "oncall@example.com, b@example.com"
    for tls, expected in (("starttls", (True, False)), ("implicit", (False, True)), ("none", (False, False))):
        smtp = {"host": "smtp.example.com:25", "sender": "a@example.com", "tls": tls}
        settings = Alerting.model_validate({"page": {"email": ["a@example.com"]}, "smtp": smtp})
        common = alertmanager_config(settings)["global"]
        assert (common["smtp_require_tls"], common["smtp_force_implicit_tls"]) == expected
        assert "smtp_auth_username" not in common


def test_inhibitions_speak_of_alerts_and_labels_that_there_are() -> None:
    rules = [rule for stack in STACKS for group in groups(monitoring_config(load(stack))) for rule in group.rules]
    known = {
        "alertname": {rule.name for rule in rules if isinstance(rule, AlertRule)},
        "severity": {"page", "ticket"},
        "dependency": {"postgres", "kafka"},
        "service": {""},
        "slo": {""},
    }
    for inhibition in INHIBITIONS:
        for matcher in (*inhibition["source_matchers"], *inhibition["target_matchers"]):
            parsed = re.fullmatch(r'(\w+)(?:=~|!=|=)"([^"]*)"', matcher)
            assert parsed, matcher
            assert set(parsed[2].split("|")) <= known[parsed[1]], matcher
        for label in inhibition.get("equal", ()):
            for side in ("source_matchers", "target_matchers"):
                assert f'{label}!=""' in inhibition[side], "two that have none are equal to it"


def test_a_receiver_without_its_secret_is_refused_before_anything_changes() -> None:
    stack = load("dev").model_copy(update={"alerting": EVERYTHING})
    with pytest.raises(DeployError) as caught:
        require_secrets("dev", stack, {"alertSmtpPassword", *secret_keys.GENERATED})
    message = str(caught.value)
    assert "alertPageSlackUrl" in message
    assert "alertSmtpPassword" not in message
    assert "pulumi config set -s dev --secret" in message
    assert "SECRET_ALERT_PAGE_SLACK_URL=… " in message
    require_secrets("dev", stack, EVERYTHING.needed_secrets)
    require_secrets("dev", load("dev"), ())


def test_a_secret_comes_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secret_keys.from_environment("alertSmtpPassword") is None
    monkeypatch.setenv("SECRET_ALERT_SMTP_PASSWORD", "")
    assert secret_keys.from_environment("alertSmtpPassword") is None
    monkeypatch.setenv("SECRET_ALERT_SMTP_PASSWORD", "hunter2")
    assert secret_keys.from_environment("alertSmtpPassword") == "hunter2"


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
    """Or its acceptance would mean nothing."""
    process = AlertmanagerProcess(tmp_path, alertmanager_config(EVERYTHING) | {"no_such_section": {}}, {})
    with pytest.raises(AssertionError, match="no_such_section"):
        process.start()
