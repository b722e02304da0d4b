"""The alert on certificates of the stack that are not renewed."""

from typing import Final

from contracts import endpoints, metrics
from dashboards.config import MonitoringConfig
from dashboards.queries import series
from dashboards.rules.model import AlertRule, RuleGroup

_DAYS: Final = 30
"""A deployment renews a certificate that is older than 30 days, and it is valid for 397: none was made for a year."""


def certificates(config: MonitoringConfig) -> RuleGroup:
    """Return the alert; none if the stack has no probe, which exports the times."""
    return RuleGroup(name="certificates", rules=() if config.probe_seconds is None else (_end(),))


def _end() -> AlertRule:
    return AlertRule(
        name="CertificateEnds",
        query=f"min by ({metrics.SERVER}) ({series(metrics.CERTIFICATE_END)}) - time() < {_DAYS * 86_400}",
        for_="15m",
        severity="ticket",
        summary="The certificate of {{ $labels.server }} ends in {{ $value | humanizeDuration }}",
        description=f"It is renewed by a deployment alone, and none was made for so long that fewer than {_DAYS} days"
        " are left. When it has ended, no client connects to the server any more.",
        dashboard="services",
        service=endpoints.PROBE,
    )
