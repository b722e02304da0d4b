"""What Prometheus computes and warns of, as code."""

from dashboards.rules.accounting import accounting
from dashboards.rules.model import Alert, Group, Record, rule_file
from stack.settings import Settings

__all__ = ["Alert", "Group", "Record", "groups", "rule_file"]


def groups(settings: Settings) -> tuple[Group, ...]:
    """All rules of a stack."""
    return accounting(settings)
