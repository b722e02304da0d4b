"""Recording rules and alert rules of Prometheus."""

from dashboards.config import MonitoringConfig
from dashboards.rules.accounting import accounting
from dashboards.rules.availability import availability
from dashboards.rules.certificates import certificates
from dashboards.rules.database import database
from dashboards.rules.dependencies import dependencies
from dashboards.rules.export import export
from dashboards.rules.impact import annotation_queries
from dashboards.rules.kafka import kafka
from dashboards.rules.model import (
    AlertRule,
    RecordingRule,
    RuleGroup,
    YourPrometheus,
    alert_rules,
    rule_document,
    rule_file,
)
from dashboards.rules.notifications import notifications
from dashboards.rules.probe import probe
from dashboards.rules.publisher import publisher
from dashboards.rules.runbook_links import runbook_links
from dashboards.rules.service_graph import service_graph
from dashboards.rules.services import services
from dashboards.rules.slo import slo
from dashboards.rules.users import users

__all__ = [
    "AlertRule",
    "RecordingRule",
    "RuleGroup",
    "YourPrometheus",
    "alert_rules",
    "annotation_queries",
    "groups",
    "rule_document",
    "rule_file",
]


def groups(config: MonitoringConfig) -> tuple[RuleGroup, ...]:
    """Return all rules of a stack."""
    all_groups = (
        users(config),
        availability(config),
        services(config),
        kafka(config),
        database(config),
        dependencies(config),
        service_graph(config),
        export(config),
        accounting(config),
        slo(config),
        probe(config),
        notifications(config),
        publisher(config),
        certificates(config),
    )
    return (*(group for group in all_groups if group.rules), runbook_links(all_groups, config.names))
