"""The real Alertmanager with the stack's configuration: it tells the right people, once, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from dashboards.rules import groups, rule_file
from stack.components.alertmanager.config import alertmanager_config
from stack.components.alertmanager.settings import Alerting
from stack.components.prometheus.config import prometheus_config
from stack.polling import poll_until
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from stack.settings.scraping import scraping
from tests.support.alertmanager_process import AlertmanagerProcess, Told, alert, mail_server, subject
from tests.support.certificates import self_signed
from tests.support.prometheus_process import PrometheusProcess

BOTH = Alerting.model_validate({"page": {"webhook": True}, "ticket": {"webhook": True}, "heartbeatMinutes": 1})


@pytest.fixture
def told() -> Iterator[Told]:
    server = Told()
    yield server
    server.close()


def hurried(config: dict[str, Any]) -> dict[str, Any]:
    """The same routes; hours and minutes become seconds."""
    routes = {route["receiver"]: route for route in (config["route"], *config["route"]["routes"])}
    routes["page"] |= {"group_wait": "1s", "group_interval": "1s"}
    routes["ticket"] |= {"group_wait": "1s", "group_interval": "1s"}
    if "heartbeat" in routes:
        routes["heartbeat"] |= {"group_interval": "1s", "repeat_interval": "900ms"}
    return config


def urls(told: Told) -> dict[str, str]:
    """A path each, and the newline that an editor leaves."""
    return {
        "alertPageWebhookUrl": f"{told.url}/page\n",
        "alertTicketWebhookUrl": f"{told.url}/ticket\n",
        "alertHeartbeatUrl": f"{told.url}/heartbeat\n",
    }


@pytest.fixture
def alertmanager(told: Told, tmp_path: Path) -> Iterator[AlertmanagerProcess]:
    process = AlertmanagerProcess(tmp_path, hurried(alertmanager_config(BOTH)), urls(told))
    process.start()
    yield process
    process.stop()


def test_who_is_told_goes_by_severity(alertmanager: AlertmanagerProcess, told: Told) -> None:
    alertmanager.post(
        alert("TraceStoreDown", "page", service="trace-store"),
        alert("LogStoreDown", "ticket", service="log-store"),
        alert("SomebodyElses", "warning", service="other"),
        alert("Quiet", "none", service="quiet"),
    )
    poll_until("page", lambda: told.names("/page") == [{"TraceStoreDown"}])
    poll_until("two tickets", lambda: len(told.at("/ticket")) == 2)
    assert sorted(told.names("/ticket"), key=str) == [{"LogStoreDown"}, {"SomebodyElses"}]
    assert not any("Quiet" in name for path in ("/page", "/ticket", "/heartbeat") for name in told.names(path))


def test_a_page_is_told_of_within_seconds_as_it_is_deployed(told: Told, tmp_path: Path) -> None:
    process = AlertmanagerProcess(tmp_path, alertmanager_config(BOTH), urls(told))
    process.start()
    try:
        began = time.monotonic()
        process.post(alert("ServiceDown", "page", service="gateway"))
        poll_until("page", lambda: told.at("/page"), seconds=10)
        assert time.monotonic() - began < 8
    finally:
        process.stop()


def test_alerts_of_one_service_are_told_of_together(alertmanager: AlertmanagerProcess, told: Told) -> None:
    alertmanager.post(
        alert("ServiceDown", "page", service="gateway"),
        alert("CrashLoop", "page", service="gateway"),
        alert("ServiceDown", "page", service="web-crawler"),
    )
    poll_until("two pages", lambda: len(told.at("/page")) == 2)
    assert sorted(told.names("/page"), key=len) == [{"ServiceDown"}, {"ServiceDown", "CrashLoop"}]


def test_causes_hide_their_symptoms_and_nobody_elses(alertmanager: AlertmanagerProcess, told: Told) -> None:
    alertmanager.post(
        alert("DependencyDown", "page", service="task-manager", dependency="postgres"),
        alert("StatementsFail", "page", service="task-manager"),
        alert("SendingFails", "page", service="task-manager", topic="task-status"),
        alert("StatementsFail", "page", service="reports"),
    )
    poll_until("two pages", lambda: len(told.at("/page")) == 2)
    assert sorted(told.names("/page"), key=len) == [{"StatementsFail"}, {"DependencyDown", "SendingFails"}]
    assert [each["labels"]["service"] for body in told.at("/page") for each in body["alerts"]].count("reports") == 1


def test_a_page_hides_the_tickets_of_its_service_until_it_is_over(
    alertmanager: AlertmanagerProcess, told: Told
) -> None:
    alertmanager.post(
        alert("ExportFails", "page", service="gateway"),
        alert("BreakerOpen", "ticket", service="gateway"),
        alert("DeadLetters", "ticket", service="gateway"),
        alert("BreakerOpen", "ticket", service="web-crawler"),
        alert("NobodysTicket", "ticket"),
        alert("NobodysPage", "page"),
    )
    poll_until("three tickets", lambda: len(told.at("/ticket")) == 3)
    names = told.names("/ticket")
    assert {"DeadLetters"} in names, "it is told of once, so it must not be hidden"
    assert {"BreakerOpen"} in names, "another service's"
    assert {"NobodysTicket"} in names, "that neither has a service makes them no pair"
    alertmanager.post(alert("ExportFails", "page", service="gateway", over=True))
    poll_until("the hidden ticket", lambda: {"BreakerOpen", "DeadLetters"} in told.names("/ticket"))


def test_what_is_over_is_told_of_too(alertmanager: AlertmanagerProcess, told: Told) -> None:
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    poll_until("page", lambda: told.at("/page"))
    alertmanager.post(alert("ServiceDown", "page", service="gateway", over=True))
    poll_until("its end", lambda: told.names("/page", "resolved")[1:] == [{"ServiceDown"}])
    assert told.at("/page")[-1]["status"] == "resolved"


def test_a_changed_secret_is_read_without_a_restart(alertmanager: AlertmanagerProcess, told: Told) -> None:
    alertmanager.give("alertPageWebhookUrl", f"{told.url}/new")
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    poll_until("page at the new place", lambda: told.at("/new"))
    assert not told.at("/page")


def test_the_heart_beats_for_as_long_as_the_watchdog_comes(alertmanager: AlertmanagerProcess, told: Told) -> None:
    alertmanager.post(alert("Watchdog", "none"))
    poll_until("three beats", lambda: len(told.at("/heartbeat")) >= 3)
    alertmanager.post(alert("Watchdog", "none", over=True))
    time.sleep(2.5)  # a beat that was under way
    beats = len(told.at("/heartbeat"))
    time.sleep(2.5)
    assert len(told.at("/heartbeat")) == beats
    assert not any(told.names("/heartbeat", "resolved")), "its end would be taken for a beat"


def test_after_a_restart_nothing_is_told_twice(alertmanager: AlertmanagerProcess, told: Told) -> None:
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    poll_until("page", lambda: told.at("/page"))
    alertmanager.stop()
    alertmanager.start()
    alertmanager.post(
        alert("ServiceDown", "page", service="gateway"), alert("ServiceDown", "page", service="web-crawler")
    )
    poll_until("the new one", lambda: len(told.at("/page")) == 2)
    time.sleep(2)
    assert [body["groupLabels"]["service"] for body in told.at("/page")] == ["gateway", "web-crawler"]


def test_what_cannot_be_told_is_tried_again_and_counted(alertmanager: AlertmanagerProcess, told: Told) -> None:
    told.status = 503
    alertmanager.post(alert("ServiceDown", "page", service="gateway"))
    failed = 'alertmanager_notifications_failed_total{integration="webhook",reason="serverError",receiver_name="page"}'

    def count() -> float:
        return alertmanager.metric(failed)

    assert count() == 0, "it is there before the first failure, or its increase would not be seen"
    poll_until("failure that is counted", count, seconds=30, every=0.2)
    told.status = 200
    poll_until("page after all", lambda: told.at("/page"), seconds=30)


def test_the_stacks_own_alerts_come_from_prometheus(
    alertmanager: AlertmanagerProcess, told: Told, tmp_path: Path
) -> None:
    """Nothing is scraped, so everything is down."""
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
        poll_until("beat", lambda: told.names("/heartbeat")[:1] == [{"Watchdog"}], seconds=30)

        def paged() -> set[str]:
            return {body["groupLabels"].get("service", "") for body in told.at("/page")}

        down = {"gateway", "task-manager", "web-crawler", "collector", "trace-store"}
        poll_until("pages of all that is down", lambda: paged() >= down, seconds=90, every=0.2)
    finally:
        prometheus.stop()
    page = next(body for body in told.at("/page") if body["groupLabels"].get("service") == "gateway")
    assert page["commonLabels"]["environment"] == "dev"
    assert page["alerts"][0]["annotations"]["runbook_url"] == f"{settings.grafana.url}/d/runbook-servicedown"


def test_people_read_what_is_wrong_and_where_to_look(told: Told, tmp_path: Path) -> None:
    mails: list[tuple[str, list[str], Message]] = []
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    for file, pem in zip((key, certificate), self_signed("localhost"), strict=True):
        file.write_bytes(pem)
    with mail_server(key, certificate, mails) as port:
        smtp = {"host": f"localhost:{port}", "sender": "alerts@example.com", "username": "me", "tls": "implicit"}
        page = {"slack": True, "pagerduty": True, "email": ["oncall@example.com", "b@example.com"]}
        config = hurried(alertmanager_config(Alerting.model_validate({"page": page, "smtp": smtp})))
        config["receivers"][0]["pagerduty_configs"][0]["url"] = f"{told.url}/pagerduty"
        secrets = {
            "alertPageSlackUrl": f"{told.url}/slack\n",
            "alertPagePagerdutyKey": "0123456789abcdef\n",
            "alertSmtpPassword": "hunter2\n",
        }
        process = AlertmanagerProcess(tmp_path / "it", config, secrets, SSL_CERT_FILE=str(certificate))
        process.start()
        try:
            process.post(alert("ServiceDown", "page", service="gateway"), alert("CrashLoop", "page", service="gateway"))
            poll_until("all three", lambda: told.at("/slack") and told.at("/pagerduty") and mails)
            process.post(
                alert("ServiceDown", "page", service="gateway", over=True),
                alert("CrashLoop", "page", service="gateway", over=True),
            )
            poll_until("its end", lambda: len(told.at("/slack")) > 1 and len(told.at("/pagerduty")) > 1 and mails[1:])
        finally:
            process.stop()

    (message,) = told.at("/slack")[0]["attachments"]
    assert message["title"] == "FIRING in test: CrashLoop it is (one of 2)"
    assert message["title_link"] == "http://grafana/d/services"
    assert message["color"] == "danger"
    assert "*ServiceDown it is*\nMore of it.\n<http://grafana/d/runbook-servicedown|Runbook>" in message["text"]
    assert told.at("/slack")[-1]["attachments"][0]["title"].startswith("RESOLVED in test: ")

    incident, end = told.at("/pagerduty")[0], told.at("/pagerduty")[-1]
    assert (incident["event_action"], end["event_action"]) == ("trigger", "resolve")
    assert incident["dedup_key"] == end["dedup_key"]
    assert incident["routing_key"] == "0123456789abcdef"
    assert incident["payload"]["severity"] == "critical"
    assert incident["payload"]["summary"] == message["title"]
    assert incident["payload"]["component"] == "gateway"
    assert {link["text"]: link["href"] for link in incident["links"]} == {
        "Runbook": "http://grafana/d/runbook-crashloop",
        "Dashboard": "http://grafana/d/services",
    }
    assert incident["client_url"].startswith("https://alerts.example.com/team/")

    login, to, mail = mails[0]
    assert login == "me:hunter2"
    assert to == ["oncall@example.com", "b@example.com"]
    assert subject(mail) == message["title"]
