"""The section `alerting` of the settings."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts import secret_keys
from contracts.addresses import BaseAddress, HostAndPort
from contracts.section import Cpu, FromList, MailAddress, Quantity, Section
from stack.components.shared.settings import Pem, Stateful


class Receivers(Section):
    """Receivers of the alerts of one severity; Alertmanager notifies all of them.

    Each needs a secret of its own, named after the severity (`alertPage…`, `alertTicket…`).
    """

    webhook: bool = False
    """Posts Alertmanager's JSON to the URL in the secret `alert<Severity>WebhookUrl`."""
    slack: bool = False
    """Sends a message through the incoming webhook in the secret `alert<Severity>SlackUrl`, which sets the channel."""
    pagerduty: bool = False
    """Opens an incident with the integration key (Events API v2) in the secret `alert<Severity>PagerdutyKey`."""
    email: Annotated[tuple[MailAddress, ...], FromList] = ()
    """Mail addresses; `smtp` sets the server."""

    @property
    def any(self) -> bool:
        """Whether the severity has a receiver."""
        return bool(self.webhook or self.slack or self.pagerduty or self.email)


class Smtp(Section):
    """The mail server that sends the notifications."""

    host: Annotated[HostAndPort, Field(examples=["smtp.example.com:587"])]
    """Host name and port."""
    sender: MailAddress
    """Address in the mails' `From`."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """User name for the login; its password is the secret `alertSmtpPassword`. No login if unset."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """Encryption: `starttls` (usual port 587), `implicit` from the first byte (465), or `none`."""

    @model_validator(mode="after")
    def _check_password_is_encrypted(self) -> Self:
        if self.username and self.tls == "none":
            raise ValueError(f"username {self.username!r} would log in with its password in clear: tls is 'none'")
        return self


class ExternalAlertmanager(Section):
    """Alertmanagers that the stack did not build. Their routes, receivers and inhibition rules are yours."""

    urls: Annotated[tuple[BaseAddress, ...], FromList, Field(min_length=1)]
    """Of each pod: Prometheus sends every alert to all of them. Grafana shows the first."""
    ca: Pem | None = None
    """Authority that signed their certificates, as PEM; the public ones if unset."""


class Alerting(Stateful):
    """Alertmanager and its receivers. Without receivers, alerts are visible in Alertmanager and Grafana only."""

    external: ExternalAlertmanager | None = None
    """If set, the stack builds no Alertmanager. Not checked: routes, receivers and inhibition rules of yours."""

    enabled: bool = True
    """If off, there is no Alertmanager: alerts are visible in Prometheus only."""
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Number of pods. They tell each other what they have sent, so that each notification is sent once."""
    cpu: Cpu = "50m"
    memory: Quantity = "128Mi"
    volume: Quantity = "1Gi"
    url: BaseAddress = "http://localhost:9093"
    """URL of Alertmanager for people, without a slash at its end. Links in notifications lead there."""
    page: Receivers = Receivers()
    """Receivers of alerts that cannot wait."""
    ticket: Receivers = Receivers()
    """Receivers of alerts that can wait until the morning."""
    heartbeat_minutes: Annotated[int, Field(ge=1, le=60)] | None = None
    """Dead man's switch: minutes between two posts to the URL in the secret `alertHeartbeatUrl`. Alertmanager posts
    while alerting works; configure that receiver to raise the alarm when the posts stop. No posts if unset."""
    smtp: Smtp | None = None
    """Required by receivers with `email`."""
    pagerduty_region: Literal["us", "eu"] = "us"
    """Service region of the PagerDuty account."""

    @property
    def built(self) -> bool:
        """Whether the stack builds the Alertmanager."""
        return self.enabled and self.external is None

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the receivers need."""
        if not self.enabled:
            return ()
        keys: list[str] = []
        for severity, receivers in (("page", self.page), ("ticket", self.ticket)):
            if receivers.webhook:
                keys.append(secret_keys.ALERT_WEBHOOK_URL[severity])
            if receivers.slack:
                keys.append(secret_keys.ALERT_SLACK_URL[severity])
            if receivers.pagerduty:
                keys.append(secret_keys.ALERT_PAGERDUTY_KEY[severity])
        if self.heartbeat_minutes:
            keys.append(secret_keys.ALERT_HEARTBEAT_URL)
        if self.smtp and self.smtp.username:
            keys.append(secret_keys.ALERT_SMTP_PASSWORD)
        return tuple(keys)

    @model_validator(mode="after")
    def _check_receivers_are_used(self) -> Self:
        if self.external and (self.page.any or self.ticket.any or self.heartbeat_minutes):
            raise ValueError(
                "page, ticket and heartbeatMinutes belong to an Alertmanager of the stack; external is yours"
            )
        if self.external and self.replicas > 1:
            raise ValueError(f"replicas {self.replicas} belong to an Alertmanager of the stack; external is yours")
        if self.external and not self.enabled:
            raise ValueError("enabled is false, and external is set: remove one of them")
        return self

    @model_validator(mode="after")
    def _check_receivers(self) -> Self:
        if self.ticket.any and not self.page.any:
            raise ValueError("ticket has receivers and page has none: alerts that cannot wait would notify no one")
        mail = self.page.email or self.ticket.email
        if mail and self.smtp is None:
            raise ValueError(f"email to {mail[0]} needs smtp: host and sender")
        if self.smtp and not mail:
            raise ValueError(f"smtp.host {self.smtp.host!r} is not used: neither page nor ticket has an email")
        return self

    @model_validator(mode="after")
    def _check_pagerduty_region_is_used(self) -> Self:
        if self.pagerduty_region != "us" and not (self.page.pagerduty or self.ticket.pagerduty):
            raise ValueError(f"pagerdutyRegion {self.pagerduty_region!r} is not used: no receiver is pagerduty")
        return self
