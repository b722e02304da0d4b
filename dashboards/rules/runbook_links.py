"""The page with the runbook of each alert, as series: marks and tables in Grafana link to it."""

from collections.abc import Iterable
from typing import Final

from dashboards.names import Names
from dashboards.rules.model import RecordingRule, RuleGroup, alert_rules, runbook_uid

RUNBOOK_LINK: Final = "alert_runbook:info"
"""Always 1; labels `alertname` and `runbook`."""
RUNBOOK: Final = "runbook"
"""Label with the uid of the page in Grafana."""


def runbook_links(groups: Iterable[RuleGroup], grafana: Names) -> RuleGroup:
    """Return a series for each alert of the groups. A label of the alert itself would change its identity."""
    names = sorted({rule.name for rule in alert_rules(groups)})
    rules = tuple(
        RecordingRule(
            name=RUNBOOK_LINK,
            query="vector(1)",
            labels={"alertname": name, RUNBOOK: grafana.uid(runbook_uid(name))},
        )
        for name in names
    )
    return RuleGroup(name="runbooks", rules=rules)
