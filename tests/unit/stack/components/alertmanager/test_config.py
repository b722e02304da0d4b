"""Alertmanager's configuration: which alerts go to which receivers."""

import re
from typing import Any

import pytest

from contracts import secret_keys
from dashboards.rules import AlertRule, groups
from stack.components.alertmanager.config import INHIBITIONS, NO_RECEIVER, SECRETS, alertmanager_config
from stack.components.alertmanager.settings import Alerting
from stack.deploy.preflight import require_secrets
from stack.errors import DeployError
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.alerting import EVERYTHING

NO_RECEIVERS = Alerting()
STACKS = ("local", "dev", "staging", "prod")


def receivers(settings: Alerting) -> dict[str, dict[str, Any]]:
    return {receiver.pop("name"): receiver for receiver in alertmanager_config(settings)["receivers"]}


def secret_files(node: Any) -> set[str]:
    """Return all files of secrets that a configuration names."""
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


def test_without_receivers_no_secret_is_needed_and_no_notification_is_sent() -> None:
    assert NO_RECEIVERS.needed_secrets == ()
    assert receivers(NO_RECEIVERS) == {"page": {}, "ticket": {}, NO_RECEIVER: {}}
    assert EVERYTHING.model_copy(update={"enabled": False}).needed_secrets == ()


def test_severities_have_their_receivers_and_unknown_ones_are_tickets() -> None:
    route = alertmanager_config(EVERYTHING)["route"]
    by_matcher = {each["matchers"][0]: each["receiver"] for each in route["routes"]}
    assert by_matcher == {
        'severity="page"': "page",
        'alertname="Watchdog"': "heartbeat",
        'severity="none"': NO_RECEIVER,
    }
    assert route["receiver"] == "ticket"
    without = alertmanager_config(NO_RECEIVERS)["route"]["routes"]
    assert "heartbeat" not in {each["receiver"] for each in without}


def test_pages_do_not_wait_and_are_repeated_before_alertmanager_forgets_them() -> None:
    """Alertmanager forgets a notification after five days, and would send it again."""

    def seconds(duration: str) -> int:
        return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]

    route = alertmanager_config(EVERYTHING)["route"]
    page, heartbeat, _ = route["routes"]
    assert seconds(page["group_wait"]) <= 5
    for each in (route, page):
        assert seconds(each["group_wait"]) <= seconds(each["group_interval"]) < seconds(each["repeat_interval"])
        assert seconds(each["repeat_interval"]) < 5 * 24 * 3600
    assert seconds(heartbeat["repeat_interval"]) < seconds(heartbeat["group_interval"]) == 300


def test_mail_goes_to_all_addresses_with_the_configured_encryption() -> None:
    assert receivers(EVERYTHING)["page"]["email_configs"][0]["to"] == "oncall@example.com, b@example.com"
    for tls, expected in (("starttls", (True, False)), ("implicit", (False, True)), ("none", (False, False))):
        smtp = {"host": "smtp.example.com:25", "sender": "a@example.com", "tls": tls}
        settings = Alerting.model_validate({"page": {"email": ["a@example.com"]}, "smtp": smtp})
        common = alertmanager_config(settings)["global"]
        assert (common["smtp_require_tls"], common["smtp_force_implicit_tls"]) == expected
        assert "smtp_auth_username" not in common


def test_inhibition_rules_name_existing_alerts_and_labels() -> None:
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
                assert f'{label}!=""' in inhibition[side], "Alertmanager counts two missing labels as equal"


def test_a_receiver_without_its_secret_is_refused_before_anything_changes() -> None:
    stack = load("dev").model_copy(update={"alerting": EVERYTHING})
    with pytest.raises(DeployError) as caught:
        require_secrets("dev", stack, {"alertSmtpPassword", *secret_keys.GENERATED})
    message = str(caught.value)
    assert "alertPageSlackUrl" in message
    assert "alertSmtpPassword" not in message
    assert "\n  pulumi config set --secret alertPageSlackUrl -s dev" in message
    assert "SECRET_ALERT_PAGE_SLACK_URL=… " in message
    require_secrets("dev", stack, EVERYTHING.needed_secrets)
    require_secrets("dev", load("dev"), ())


def test_a_secret_comes_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secret_keys.from_environment("alertSmtpPassword") is None
    monkeypatch.setenv("SECRET_ALERT_SMTP_PASSWORD", "")
    assert secret_keys.from_environment("alertSmtpPassword") is None
    monkeypatch.setenv("SECRET_ALERT_SMTP_PASSWORD", "hunter2")
    assert secret_keys.from_environment("alertSmtpPassword") == "hunter2"
