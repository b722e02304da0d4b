"""The real Alertmanager with the stack's configuration: it notifies the right receivers, once, and when alerts end."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from checks.harness.certificates import self_signed
from checks.harness.http import CLIENT
from checks.harness.mail import Mail, mail_server
from contracts.telemetry import load_registry
from dashboards.rules import groups, rule_file
from stack.components.alertmanager.config import alertmanager_config
from stack.components.alertmanager.settings import Alerting
from stack.components.prometheus.config import prometheus_config
from stack.polling import poll_until
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from stack.settings.scraping import scraping
from tests.support.alertmanager_process import (
    AlertmanagerProcess,
    Receiver,
    alert,
    receiving_notifications,
    subject,
)
from tests.support.prometheus_process import PrometheusProcess

_ALERTS = "alertmanager_alerts"
BOTH = Alerting.model_validate({"page": {"webhook": True}, "ticket": {"webhook": True}, "heartbeatMinutes": 1})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving_notifications() as receiver:
        yield receiver


def hurried(config: dict[str, Any]) -> dict[str, Any]:
    """Return the same routes with seconds instead of hours and minutes."""
    routes = {route["receiver"]: route for route in (config["route"], *config["route"]["routes"])}
    routes["page"] |= {"group_wait": "1s", "group_interval": "1s"}
    routes["ticket"] |= {"group_wait": "1s", "group_interval": "1s"}
    if "heartbeat" in routes:
        routes["heartbeat"] |= {"group_interval": "1s", "repeat_interval": "900ms"}
    return config


def urls(receiver: Receiver) -> dict[str, str]:
    """Return a path for each receiver, with the newline that editors write."""
    return {
        "alertPageWebhookUrl": f"{receiver.url}/page\n",
        "alertTicketWebhookUrl": f"{receiver.url}/ticket\n",
        "alertHeartbeatUrl": f"{receiver.url}/heartbeat\n",
    }


@pytest.fixture
def alertmanager(receiver: Receiver, tmp_path: Path) -> Iterator[AlertmanagerProcess]:
    process = AlertmanagerProcess(tmp_path, hurried(alertmanager_config(BOTH)), urls(receiver))
    process.start()
    yield process
    process.stop()


def test_the_severity_decides_on_the_receiver(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    alertmanager.post(
        alert("TraceStoreDown", "page", service="trace-store"),
        alert("LogStoreDown", "ticket", service="log-store"),
        alert("OtherRule", "warning", service="other"),
        alert("Quiet", "none", service="quiet"),
    )
    poll_until("page", lambda: receiver.names("/page") == [{"TraceStoreDown"}])
    poll_until("two tickets", lambda: len(receiver.bodies("/ticket")) == 2)
    assert sorted(receiver.names("/ticket"), key=str) == [{"LogStoreDown"}, {"OtherRule"}]
    assert not any("Quiet" in name for path in ("/page", "/ticket", "/heartbeat") for name in receiver.names(path))


def test_a_page_is_sent_within_seconds_with_the_deployed_configuration(receiver: Receiver, tmp_path: Path) -> None:
    process = AlertmanagerProcess(tmp_path, alertmanager_config(BOTH), urls(receiver))
    process.start()
    try:
        began = time.monotonic()
        process.post(alert("ServiceDown", "page", service="gateway"))
        poll_until("page", lambda: receiver.bodies("/page"))
        assert time.monotonic() - began < 20, "Alertmanager's own default is 30 s"
    finally:
        process.stop()


def test_alerts_of_one_service_are_one_notification(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    alertmanager.post(
        alert("ServiceDown", "page", service="gateway"),
        alert("CrashLoop", "page", service="gateway"),
        alert("ServiceDown", "page", service="web-crawler"),
    )
    poll_until("two pages", lambda: len(receiver.bodies("/page")) == 2)
    assert sorted(receiver.names("/page"), key=len) == [{"ServiceDown"}, {"ServiceDown", "CrashLoop"}]


def test_causes_inhibit_their_symptoms_and_no_others(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    alertmanager.post(
        alert("DependencyDown", "page", service="task-manager", dependency="postgres"),
        alert("StatementsFail", "page", service="task-manager"),
        alert("SendingFails", "page", service="task-manager", topic="task-status"),
        alert("StatementsFail", "page", service="reports"),
    )
    poll_until("two pages", lambda: len(receiver.bodies("/page")) == 2)
    assert sorted(receiver.names("/page"), key=len) == [{"StatementsFail"}, {"DependencyDown", "SendingFails"}]
    alerts = [each for body in receiver.bodies("/page") for each in body["alerts"]]
    assert [each["labels"]["service"] for each in alerts].count("reports") == 1


def test_a_page_inhibits_the_tickets_of_its_service_until_it_ends(
    alertmanager: AlertmanagerProcess, receiver: Receiver
) -> None:
    alertmanager.post(
        alert("ExportFails", "page", service="gateway"),
        alert("BreakerOpen", "ticket", service="gateway"),
        alert("DeadLetters", "ticket", service="gateway"),
        alert("BreakerOpen", "ticket", service="web-crawler"),
        alert("TicketWithoutService", "ticket"),
        alert("PageWithoutService", "page"),
    )
    poll_until("three tickets", lambda: len(receiver.bodies("/ticket")) == 3)
    names = receiver.names("/ticket")
    assert {"DeadLetters"} in names, "it is sent once, so it must not be inhibited"
    assert {"BreakerOpen"} in names, "another service's"
    assert {"TicketWithoutService"} in names, "two alerts without a service are not of the same service"
    alertmanager.post(alert("ExportFails", "page", service="gateway", resolved=True))
    poll_until("the inhibited ticket", lambda: {"BreakerOpen", "DeadLetters"} in receiver.names("/ticket"))


def test_the_probe_pages_only_if_no_other_alert_names_the_cause(
    alertmanager: AlertmanagerProcess, receiver: Receiver
) -> None:
    alertmanager.post(
        alert("ServiceDown", "page", service="gateway"), alert("ProbeRequestsFail", "page", service="probe")
    )
    poll_until("page", lambda: receiver.bodies("/page"))
    assert receiver.names("/page") == [{"ServiceDown"}]
    alertmanager.post(alert("ServiceDown", "page", service="gateway", resolved=True))
    poll_until("the probe's page", lambda: {"ProbeRequestsFail"} in receiver.names("/page"))


def test_the_end_of_an_alert_is_notified(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    poll_until("page", lambda: receiver.bodies("/page"))
    alertmanager.post(alert("ServiceDown", "page", service="gateway", resolved=True))
    poll_until("its end", lambda: receiver.names("/page", "resolved")[1:] == [{"ServiceDown"}])
    assert receiver.bodies("/page")[-1]["status"] == "resolved"


def test_a_changed_secret_is_read_without_a_restart(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    alertmanager.set_secret("alertPageWebhookUrl", f"{receiver.url}/new")
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    poll_until("page at the new URL", lambda: receiver.bodies("/new"))
    assert not receiver.bodies("/page")


def test_the_heartbeat_is_sent_while_the_watchdog_fires(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    alertmanager.post(alert("Watchdog", "none"))
    poll_until("three beats", lambda: len(receiver.bodies("/heartbeat")) >= 3)
    alertmanager.post(alert("Watchdog", "none", resolved=True))
    time.sleep(2.5)  # a heartbeat that is being sent
    beats = len(receiver.bodies("/heartbeat"))
    time.sleep(2.5)
    assert len(receiver.bodies("/heartbeat")) == beats
    assert not any(receiver.names("/heartbeat", "resolved")), "the receiver would count it as a heartbeat"


def test_after_a_restart_no_notification_is_sent_again(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    poll_until("page", lambda: receiver.bodies("/page"))
    alertmanager.stop()
    alertmanager.start()
    alertmanager.post(
        alert("ServiceDown", "page", service="gateway"), alert("ServiceDown", "page", service="web-crawler")
    )
    poll_until("the new one", lambda: len(receiver.bodies("/page")) == 2)
    time.sleep(2)
    assert [body["groupLabels"]["service"] for body in receiver.bodies("/page")] == ["gateway", "web-crawler"]


def test_a_failed_notification_is_retried_and_counted(alertmanager: AlertmanagerProcess, receiver: Receiver) -> None:
    receiver.status = 503
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    failed = 'alertmanager_notifications_failed_total{integration="webhook",reason="serverError",receiver_name="page"}'

    def count() -> float:
        return alertmanager.metric(failed)

    assert count() == 0, "without the series at 0, increase() would miss the first failure"
    poll_until("failure that is counted", count, every=0.2)
    receiver.status = 200
    poll_until("page after the retry", lambda: receiver.bodies("/page"))


def test_the_stacks_own_alerts_come_from_prometheus(
    alertmanager: AlertmanagerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    """Prometheus scrapes nothing, so all targets are down."""
    settings = load("dev")
    rules = tmp_path / "rules.yml"
    rules.write_text(rule_file(groups(monitoring_config(settings)), settings.grafana.url))
    config = prometheus_config(scraping(settings))
    (target,) = config["alerting"]["alertmanagers"]
    target["static_configs"] = [
        {"targets": [alertmanager.url.removeprefix("http://")]} for _ in target.pop("dns_sd_configs")
    ]
    config |= {"rule_files": [str(rules)], "scrape_configs": []}
    config["global"] |= {"evaluation_interval": "1s", "scrape_interval": "1s", "scrape_timeout": "1s"}
    prometheus = PrometheusProcess(tmp_path, config=config)
    prometheus.start()
    try:
        poll_until("beat", lambda: receiver.names("/heartbeat")[:1] == [{"Watchdog"}])

        def paged() -> set[str]:
            return {body["groupLabels"].get("service", "") for body in receiver.bodies("/page")}

        down = {"gateway", "task-manager", "web-crawler", "collector", "trace-store"}
        poll_until("pages of all that is down", lambda: paged() >= down, seconds=90, every=0.2)
    finally:
        prometheus.kill()
    page = next(body for body in receiver.bodies("/page") if body["groupLabels"].get("service") == "gateway")
    assert page["commonLabels"]["environment"] == "dev"
    assert page["alerts"][0]["annotations"]["runbook_url"] == f"{settings.grafana.url}/d/runbook-servicedown"


def test_notifications_name_the_alert_and_link_to_its_runbook(receiver: Receiver, tmp_path: Path) -> None:
    mails: list[Mail] = []
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    for file, pem in zip((key, certificate), self_signed("localhost"), strict=True):
        file.write_bytes(pem)
    with mail_server(mails, certificate=certificate, key=key) as port:
        smtp = {"host": f"localhost:{port}", "sender": "alerts@example.com", "username": "me", "tls": "implicit"}
        page = {"slack": True, "pagerduty": True, "email": ["oncall@example.com", "b@example.com"]}
        config = hurried(alertmanager_config(Alerting.model_validate({"page": page, "smtp": smtp})))
        config["receivers"][0]["pagerduty_configs"][0]["url"] = f"{receiver.url}/pagerduty"
        secrets = {
            "alertPageSlackUrl": f"{receiver.url}/slack\n",
            "alertPagePagerdutyKey": "0123456789abcdef\n",
            "alertSmtpPassword": "hunter2\n",
        }
        process = AlertmanagerProcess(tmp_path / "it", config, secrets, SSL_CERT_FILE=str(certificate))
        process.start()
        try:
            process.post(alert("ServiceDown", "page", service="gateway"), alert("CrashLoop", "page", service="gateway"))
            poll_until("all three", lambda: receiver.bodies("/slack") and receiver.bodies("/pagerduty") and mails)
            process.post(
                alert("ServiceDown", "page", service="gateway", resolved=True),
                alert("CrashLoop", "page", service="gateway", resolved=True),
            )
            poll_until(
                "its end",
                lambda: len(receiver.bodies("/slack")) > 1 and len(receiver.bodies("/pagerduty")) > 1 and mails[1:],
            )
        finally:
            process.stop()

    (message,) = receiver.bodies("/slack")[0]["attachments"]
    assert message["title"] == "FIRING in test: CrashLoop it is (one of 2)"
    assert message["title_link"] == "http://grafana/d/services"
    assert message["color"] == "danger"
    assert (
        "*ServiceDown it is*\nMore of it.\nOperation: POST /api/tasks\nUsers: 3 of 10 requests failed\n"
        "Last start: gateway started\nFirst query of the runbook: job=gateway 3\n"
        "`./wct explain ServiceDown --stack test`\n<http://grafana/d/runbook-servicedown|Runbook>"
    ) in message["text"]
    assert receiver.bodies("/slack")[-1]["attachments"][0]["title"].startswith("RESOLVED in test: ")

    incident, end = receiver.bodies("/pagerduty")[0], receiver.bodies("/pagerduty")[-1]
    assert (incident["event_action"], end["event_action"]) == ("trigger", "resolve")
    assert incident["dedup_key"] == end["dedup_key"]
    assert incident["routing_key"] == "0123456789abcdef"
    assert incident["payload"]["severity"] == "critical"
    assert incident["payload"]["summary"] == message["title"]
    assert incident["payload"]["component"] == "gateway"
    assert incident["payload"]["custom_details"]["Users"] == "3 of 10 requests failed"
    assert incident["payload"]["custom_details"]["Explain"] == "./wct explain CrashLoop --stack test"
    assert {link["text"]: link["href"] for link in incident["links"]} == {
        "Runbook": "http://grafana/d/runbook-crashloop",
        "Dashboard": "http://grafana/d/services",
    }
    assert incident["client_url"].startswith("https://alerts.example.com/team/")

    mail = mails[0]
    assert mail.login == "me:hunter2"
    assert mail.recipients == ["oncall@example.com", "b@example.com"]
    assert subject(mail.message) == message["title"]


def test_the_states_of_alerts_are_those_of_the_telemetry_contract(alertmanager: AlertmanagerProcess) -> None:
    text = CLIENT.get(f"{alertmanager.url}/metrics").text
    families = text_string_to_metric_families(text)
    states = {sample.labels["state"] for family in families for sample in family.samples if sample.name == _ALERTS}
    assert states == load_registry().values_of(_ALERTS, "state")
