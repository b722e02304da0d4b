"""The alert on certificates of the stack that are not renewed."""

from typing import Final

from contracts import endpoints, metrics
from dashboards.config import MonitoringConfig
from dashboards.queries import series
from dashboards.rules.model import AlertRule, RuleGroup

_DAYS: Final = 30
"""A deployment renews a certificate that is older than 30 days, and it is valid for 397: none was made for a year."""
_SHARE: Final = 0.25
"""Of its whole time. cert-manager, which may make certificates for a day, renews them when a third of it is left."""


def certificates(config: MonitoringConfig) -> RuleGroup:
    """Return the alert; none if the stack has no probe, which exports the times."""
    return RuleGroup(name="certificates", rules=() if config.probe_seconds is None else (_end(),))


def _end() -> AlertRule:
    start, end = series(metrics.CERTIFICATE_START), series(metrics.CERTIFICATE_END)
    return AlertRule(
        name="CertificateEnds",
        query=f"min by ({metrics.SERVER}) ({end} - time()) < {_DAYS * 86_400}"
        f" and min by ({metrics.SERVER}) (({end} - time()) / ({end} - {start})) < {_SHARE}",
        for_="15m",
        severity="ticket",
        summary="The certificate of {{ $labels.server }} ends in {{ $value | humanizeDuration }}",
        description=f"Fewer than {_DAYS} days are left, and less than a quarter of its time. A deployment renews it, or"
        " cert-manager with encryption.issuer. When it has ended, no client connects to the server any more.",
        dashboard="services",
        service=endpoints.PROBE,
    )
