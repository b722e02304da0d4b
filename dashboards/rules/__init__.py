"""What Prometheus computes and warns of, as code."""

from dashboards.rules.accounting import accounting
from dashboards.rules.availability import availability
from dashboards.rules.database import database
from dashboards.rules.dependencies import dependencies
from dashboards.rules.export import export
from dashboards.rules.kafka import kafka
from dashboards.rules.model import AlertRule, RecordingRule, RuleGroup, rule_file
from dashboards.rules.notifications import notifications
from dashboards.rules.services import services
from dashboards.rules.slo import slo
from stack.settings import Settings

__all__ = ["AlertRule", "RecordingRule", "RuleGroup", "groups", "rule_file"]


def groups(settings: Settings) -> tuple[RuleGroup, ...]:
    """All rules of a stack."""
    return (
        *availability(settings),
        *services(settings),
        *kafka(settings),
        *database(settings),
        *dependencies(),
        *export(),
        *accounting(settings),
        *slo(settings),
        *notifications(settings),
    )
