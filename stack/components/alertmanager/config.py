"""Alertmanager's configuration: routes by severity, receivers, and inhibition rules."""

from collections.abc import Iterable
from typing import Any, Final

from contracts import secret_keys
from stack.components.alertmanager.settings import Alerting, Receivers, Smtp

SECRETS: Final = "/etc/alertmanager-secrets"
"""Folder of the receivers' secrets, a file each."""

NO_RECEIVER: Final = "nobody"
"""Name of the receiver that sends nothing; a label value of Alertmanager's metrics."""

_PAGERDUTY: Final = {
    "us": "https://events.pagerduty.com/v2/enqueue",
    "eu": "https://events.eu.pagerduty.com/v2/enqueue",
}
_PAGERDUTY_SEVERITY: Final = {"page": "critical", "ticket": "warning"}

# A firing alert if there is one, else a resolved one: notifications of both use the same words.
_FIRST: Final = "(index (or .Alerts.Firing .Alerts) 0)"
_TITLE: Final = (
    "{{ .Status | toUpper }} in {{ .CommonLabels.environment }}: {{ " + _FIRST + ".Annotations.summary }}"
    "{{ if gt (len .Alerts) 1 }} (one of {{ len .Alerts }}){{ end }}"
)
_FACTS: Final = {
    "operation": "Operation",
    "users": "Users",
    "changed": "Last start",
    "answer": "First query of the runbook",
}
"""Annotation → its heading in a notification."""
_FACT_LINES: Final = "".join(
    f"{{{{ with .Annotations.{name} }}}}{title}: {{{{ . }}}}\n{{{{ end }}}}" for name, title in _FACTS.items()
)
_SLACK_TEXT: Final = (
    "{{ range .Alerts }}{{ if eq .Status `resolved` }}Over: {{ end }}*{{ .Annotations.summary }}*\n"
    "{{ .Annotations.description }}\n"
    f"{_FACT_LINES}"
    '{{ with .Annotations.explain }}{{ printf "`%s`" . }}\n{{ end }}'
    "<{{ .Annotations.runbook_url }}|Runbook> · <{{ .Annotations.dashboard_url }}|Dashboard>\n\n{{ end }}"
)

_NOTIFIED_ONCE: Final = ("DeadLetters", "SpansDropped")
"""Alerts about lost or dead-lettered data. They end before a page that inhibits them, and would never be sent."""


_STOP_REQUESTS: Final = (
    *("ServiceDown", "CrashLoop", "DependencyDown", "DependencyFails", "ErrorRateHigh", "RequestsSlow", "CrawlsFail"),
    *("TasksSlow", "ConsumerStopped", "ConsumerUnassigned", "LagGrows", "MessagesWait", "SendingFails"),
    *("StatementsSlow", "StatementsFail", "PoolExhausted"),
)
"""Alerts on what stops requests, or tasks before they are completed."""


def _named(*alerts: str) -> str:
    return f'alertname=~"{"|".join(alerts)}"' if len(alerts) > 1 else f'alertname="{alerts[0]}"'


def _inhibits(source: Iterable[str], target: Iterable[str], *equal: str) -> dict[str, Any]:
    # Alertmanager counts labels that both alerts lack as equal; these rules need alerts that have them.
    present = [f'{label}!=""' for label in equal]
    return {
        "source_matchers": [*source, *present],
        "target_matchers": [*target, *present],
        **({"equal": list(equal)} if equal else {}),
    }


INHIBITIONS: Final = (
    # During a page for a service, the engineer sees its tickets in Grafana. They are sent when the page is over.
    _inhibits(
        ['severity="page"'], ['severity="ticket"', *(f'alertname!="{name}"' for name in _NOTIFIED_ONCE)], "service"
    ),
    # A target that cannot be scraped has no metrics, and its last ones are out of date.
    _inhibits(
        [_named("ServiceDown", "CollectorDown")], [_named("MetricsMissing", "ErrorRateHigh", "RequestsSlow")], "service"
    ),
    _inhibits(
        [_named("DependencyDown"), 'dependency="postgres"'],
        [_named("StatementsFail", "StatementsSlow", "PoolExhausted", "ErrorRateHigh")],
        "service",
    ),
    _inhibits([_named("DependencyDown"), 'dependency="kafka"'], [_named("SendingFails", "ErrorRateHigh")], "service"),
    _inhibits([_named("CollectorDown", "CollectorVolumeFull")], [_named("ExportFails", "BreakerOpen")]),
    # A queue that fills up is still notified: spans are about to be lost.
    _inhibits([_named("TraceStoreDown")], [_named("CollectorQueueStuck")]),
    # These alerts name the cause of what the probe does not find.
    _inhibits(
        [
            _named(
                "TraceStoreDown",
                "CollectorDown",
                "CollectorVolumeFull",
                "CollectorQueueStuck",
                "ExportFails",
                "LogStoreDown",
            )
        ],
        [_named("TelemetryIncomplete")],
    ),
    # The same for what the probe's requests fail at. If none of these pages, the front door alone fails.
    _inhibits([_named(*_STOP_REQUESTS), 'severity="page"'], [_named("ProbeRequestsFail")]),
    _inhibits(
        [_named("ErrorBudgetBurns"), 'severity="page"'], [_named("ErrorBudgetBurns"), 'severity="ticket"'], "slo"
    ),
)
"""Inhibition rules: while a source alert fires, Alertmanager sends no notification of a target alert."""


def alertmanager_config(settings: Alerting) -> dict[str, Any]:
    """Return Alertmanager's configuration; what is missing in it has Alertmanager's default.

    Secrets are files. Alertmanager reads them for every notification, so a changed one needs no restart.
    """
    return {
        **({"global": _mail_server(settings.smtp)} if settings.smtp else {}),
        "route": {
            # The default: alerts of other rules, whose severity is none of ours, are at least a ticket.
            "receiver": "ticket",
            "group_by": ["service"],
            "group_wait": "30s",
            "group_interval": "15m",
            "repeat_interval": "24h",
            "routes": [
                {
                    "receiver": "page",
                    "matchers": ['severity="page"'],
                    "group_wait": "5s",
                    "group_interval": "30s",
                    "repeat_interval": "1h",
                },
                *([_heartbeat_route(settings.heartbeat_minutes)] if settings.heartbeat_minutes else []),
                {"receiver": NO_RECEIVER, "matchers": ['severity="none"']},
            ],
        },
        "inhibit_rules": list(INHIBITIONS),
        "receivers": [
            _receiver("page", settings.page, settings.pagerduty_region),
            _receiver("ticket", settings.ticket, settings.pagerduty_region),
            *([_heartbeat_receiver()] if settings.heartbeat_minutes else []),
            {"name": NO_RECEIVER},
        ],
    }


def _file(key: str) -> str:
    return f"{SECRETS}/{key}"


def _mail_server(smtp: Smtp) -> dict[str, Any]:
    login = {"smtp_auth_username": smtp.username, "smtp_auth_password_file": _file(secret_keys.ALERT_SMTP_PASSWORD)}
    return {
        "smtp_smarthost": smtp.host,
        "smtp_from": smtp.sender,
        "smtp_require_tls": smtp.tls == "starttls",
        # Without it, Alertmanager decides by the port.
        "smtp_force_implicit_tls": smtp.tls == "implicit",
        **(login if smtp.username else {}),
    }


def _receiver(severity: str, receivers: Receivers, region: str) -> dict[str, Any]:
    """Return the receiver of a severity; without any of `receivers`, it accepts alerts and sends nothing."""
    webhook = {"url_file": _file(secret_keys.ALERT_WEBHOOK_URL[severity]), "send_resolved": True}
    slack = {
        "api_url_file": _file(secret_keys.ALERT_SLACK_URL[severity]),
        "send_resolved": True,
        "title": _TITLE,
        "title_link": "{{ " + _FIRST + ".Annotations.dashboard_url }}",
        "text": _SLACK_TEXT,
        "fallback": _TITLE,
    }
    pagerduty = {
        "routing_key_file": _file(secret_keys.ALERT_PAGERDUTY_KEY[severity]),
        "send_resolved": True,
        "url": _PAGERDUTY[region],
        "severity": _PAGERDUTY_SEVERITY[severity],
        "description": _TITLE,
        "component": "{{ .GroupLabels.service }}",
        "details": {
            title: "{{ with " + _FIRST + ".Annotations." + name + " }}{{ . }}{{ end }}"
            for name, title in (_FACTS | {"explain": "Explain"}).items()
        },
        "links": [
            {"href": "{{ " + _FIRST + ".Annotations.runbook_url }}", "text": "Runbook"},
            {"href": "{{ " + _FIRST + ".Annotations.dashboard_url }}", "text": "Dashboard"},
        ],
    }
    email = {"to": ", ".join(receivers.email), "send_resolved": True, "headers": {"Subject": _TITLE}}
    kinds = {
        "webhook_configs": (webhook, receivers.webhook),
        "slack_configs": (slack, receivers.slack),
        "pagerduty_configs": (pagerduty, receivers.pagerduty),
        "email_configs": (email, receivers.email),
    }
    return {"name": severity, **{kind: [config] for kind, (config, is_set) in kinds.items() if is_set}}


def _heartbeat_route(minutes: int) -> dict[str, Any]:
    return {
        "receiver": "heartbeat",
        "matchers": [_named("Watchdog")],
        "group_wait": "0s",
        # Also how long Alertmanager retries a receiver that does not answer.
        "group_interval": f"{minutes}m",
        # Alertmanager checks once an interval, and its last notification is then a little younger than the interval.
        "repeat_interval": f"{minutes * 60 - 10}s",
    }


def _heartbeat_receiver() -> dict[str, Any]:
    # The notification that the alert is resolved would count as a heartbeat as well.
    config = {"url_file": _file(secret_keys.ALERT_HEARTBEAT_URL), "send_resolved": False}
    return {"name": "heartbeat", "webhook_configs": [config]}
