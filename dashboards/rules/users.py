"""How many requests and tasks of users are affected, as recording rules; the annotations of the alerts show them."""

from dashboards.config import MonitoringConfig
from dashboards.rules.impact import records, records_of_spans
from dashboards.rules.model import RecordingRule, RuleGroup
from dashboards.rules.slo import tasks_in_time


def users(config: MonitoringConfig) -> RuleGroup:
    """Return the counts."""
    counts = records(tasks_in_time(config)) if config.services else records_of_spans()
    rules = (RecordingRule(name=name, query=query) for name, query in counts)
    return RuleGroup(name="users", rules=tuple(rules))
