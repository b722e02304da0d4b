"""Alertmanager: tells people of Prometheus' alerts, by severity, each once, and the cause rather than its symptoms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, secret_keys, versions
from stack.components.alertmanager.settings import Alerting, Receivers, Smtp
from stack.components.shared import workload

_UID: Final = 65534
_CONFIG: Final = "/etc/alertmanager"
_SECRETS: Final = "/etc/alertmanager-secrets"
_DATA: Final = "/alertmanager"

_PAGERDUTY: Final = {
    "us": "https://events.pagerduty.com/v2/enqueue",
    "eu": "https://events.eu.pagerduty.com/v2/enqueue",
}
_PAGERDUTY_SEVERITY: Final = {"page": "critical", "ticket": "warning"}

# One that still fires comes first; what has ended is told of in the same words.
_FIRST: Final = "(index (or .Alerts.Firing .Alerts) 0)"
_TITLE: Final = (
    "{{ .Status | toUpper }} in {{ .CommonLabels.environment }}: {{ " + _FIRST + ".Annotations.summary }}"
    "{{ if gt (len .Alerts) 1 }} (one of {{ len .Alerts }}){{ end }}"
)
_SLACK_TEXT: Final = (
    "{{ range .Alerts }}{{ if eq .Status `resolved` }}Over: {{ end }}*{{ .Annotations.summary }}*\n"
    "{{ .Annotations.description }}\n"
    "<{{ .Annotations.runbook_url }}|Runbook> · <{{ .Annotations.dashboard_url }}|Dashboard>\n\n{{ end }}"
)

# Told once, of what is lost or set aside: a page that hides one of these has outlived it when it ends.
_TOLD_ONCE: Final = ("DeadLetters", "SpansDropped")


def _named(*alerts: str) -> str:
    return f'alertname=~"{"|".join(alerts)}"' if len(alerts) > 1 else f'alertname="{alerts[0]}"'


def _inhibits(source: Iterable[str], target: Iterable[str], *equal: str) -> dict[str, Any]:
    # Labels that both lack are equal, too: only alerts that have them are meant.
    there = [f'{label}!=""' for label in equal]
    return {
        "source_matchers": [*source, *there],
        "target_matchers": [*target, *there],
        **({"equal": list(equal)} if equal else {}),
    }


INHIBITIONS: Final = (
    # Whoever was woken for a service sees its tickets when looking; they come when the page is over.
    _inhibits(['severity="page"'], ['severity="ticket"', *(f'alertname!="{name}"' for name in _TOLD_ONCE)], "service"),
    # What cannot be scraped has no metrics, and its last ones say nothing any more.
    _inhibits(
        [_named("ServiceDown", "CollectorDown")], [_named("MetricsMissing", "ErrorRateHigh", "RequestsSlow")], "service"
    ),
    _inhibits(
        [_named("DependencyDown"), 'dependency="postgres"'],
        [_named("StatementsFail", "StatementsSlow", "PoolExhausted", "ErrorRateHigh")],
        "service",
    ),
    _inhibits([_named("DependencyDown"), 'dependency="kafka"'], [_named("SendingFails", "ErrorRateHigh")], "service"),
    _inhibits([_named("CollectorDown")], [_named("ExportFails", "BreakerOpen")]),
    # That it fills is news all the same: then spans are about to be lost.
    _inhibits([_named("TraceStoreDown")], [_named("CollectorQueueStuck")]),
    _inhibits(
        [_named("ErrorBudgetBurns"), 'severity="page"'], [_named("ErrorBudgetBurns"), 'severity="ticket"'], "slo"
    ),
)
"""Which alerts are not told of while which others fire."""


def alertmanager_config(settings: Alerting) -> dict[str, Any]:
    """Alertmanager's configuration; what it does not say is Alertmanager's default.

    Secrets are files that it reads whenever it sends something, so that a changed one needs no restart.
    """
    # A receiver that does not answer is tried again for as long as a group's interval.
    heartbeat = {
        "receiver": "heartbeat",
        "matchers": [_named("Watchdog")],
        "group_wait": "0s",
        "group_interval": f"{settings.heartbeat_minutes}m",
        # It looks at its log once an interval, and the last entry is a little younger than one.
        "repeat_interval": f"{(settings.heartbeat_minutes or 0) * 60 - 10}s",
    }
    return {
        **({"global": _mail(settings.smtp)} if settings.smtp else {}),
        "route": {
            # Alerts of somebody else's rules without a severity that is known here are at least that.
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
                *([heartbeat] if settings.heartbeat_minutes else []),
                {"receiver": "nobody", "matchers": ['severity="none"']},
            ],
        },
        "inhibit_rules": list(INHIBITIONS),
        "receivers": [
            _receiver("page", settings.page, settings.pagerduty_region),
            _receiver("ticket", settings.ticket, settings.pagerduty_region),
            *([_heartbeat()] if settings.heartbeat_minutes else []),
            {"name": "nobody"},
        ],
    }


def _file(key: str) -> str:
    return f"{_SECRETS}/{key}"


def _mail(smtp: Smtp) -> dict[str, Any]:
    login = {"smtp_auth_username": smtp.username, "smtp_auth_password_file": _file(secret_keys.ALERT_SMTP_PASSWORD)}
    return {
        "smtp_smarthost": smtp.host,
        "smtp_from": smtp.sender,
        "smtp_require_tls": smtp.tls == "starttls",
        # Else the port would decide.
        "smtp_force_implicit_tls": smtp.tls == "implicit",
        **(login if smtp.username else {}),
    }


def _receiver(severity: str, to: Receivers, region: str) -> dict[str, Any]:
    """One receiver with everybody who is told; none of them, and it takes what comes and says nothing."""
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
        "links": [
            {"href": "{{ " + _FIRST + ".Annotations.runbook_url }}", "text": "Runbook"},
            {"href": "{{ " + _FIRST + ".Annotations.dashboard_url }}", "text": "Dashboard"},
        ],
    }
    email = {"to": ", ".join(to.email), "send_resolved": True, "headers": {"Subject": _TITLE}}
    kinds = {
        "webhook_configs": (webhook, to.webhook),
        "slack_configs": (slack, to.slack),
        "pagerduty_configs": (pagerduty, to.pagerduty),
        "email_configs": (email, to.email),
    }
    return {"name": severity, **{kind: [config] for kind, (config, wanted) in kinds.items() if wanted}}


def _heartbeat() -> dict[str, Any]:
    # One that ended would be a beat as well.
    beat = {"url_file": _file(secret_keys.ALERT_HEARTBEAT_URL), "send_resolved": False}
    return {"name": "heartbeat", "webhook_configs": [beat]}


@dataclass(frozen=True, kw_only=True)
class AlertmanagerArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    settings: Alerting
    storage_class: str | None


class Alertmanager(pulumi.ComponentResource):
    """One Alertmanager; silences, and what it has told whom, are on its volume."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: AlertmanagerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Alertmanager", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        files = {"alertmanager.yml": yaml.safe_dump(alertmanager_config(settings), sort_keys=False)}
        config = workload.config_map("alertmanager-config", "alerts", args.namespace, files, child)
        keys = {key: key for key in settings.needed_secrets}
        pod = workload.Pod(
            name=endpoints.ALERTMANAGER,
            component="alerts",
            image=versions.ALERTMANAGER,
            user=_UID,
            size=settings,
            ports={"http": endpoints.ALERTMANAGER_PORT},
            args=[
                f"--config.file={_CONFIG}/alertmanager.yml",
                f"--storage.path={_DATA}",
                f"--web.external-url={settings.url}",
                # Not the path of that URL, which a proxy takes away.
                "--web.route-prefix=/",
                # Who is not reached, and without series for the fifteen kinds of receivers that nobody has.
                "--enable-feature=receiver-name-in-metrics",
                # There is one of it, and nobody to gossip with.
                "--cluster.listen-address=",
            ],
            env=workload.go_env(settings),
            files={_CONFIG: config.metadata.name},
            configuration=files,
            secret_files={_SECRETS: (args.secret, keys)} if keys else {},
            data=_DATA,
            readiness=workload.http_probe("/-/ready", endpoints.ALERTMANAGER_PORT, period=2),
            liveness=workload.http_probe("/-/healthy", endpoints.ALERTMANAGER_PORT),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, settings.volume, args.storage_class, child)
        self.url = pulumi.Output.from_input(endpoints.url(endpoints.ALERTMANAGER, endpoints.ALERTMANAGER_PORT))
        self.register_outputs({"url": self.url})
