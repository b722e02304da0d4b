"""The catalogue of faults is complete, and names dashboards, panels, alerts and runbooks that exist."""

import pytest

from checks.faults.catalogue import faults
from checks.faults.model import CAUSES, HOPS, Choice
from dashboards.catalog import dashboards
from dashboards.rules import AlertRule, groups
from dashboards.rules.runbook import RUNBOOKS
from stack.settings import load
from stack.settings.monitoring import monitoring_config

FAULTS = faults("jaeger")


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 15
    assert len({fault.title for fault in FAULTS.values()}) == len(FAULTS)


@pytest.mark.parametrize("choices", [HOPS, CAUSES])
def test_names_of_choices_are_unique(choices: tuple[Choice, ...]) -> None:
    names = [choice.name for choice in choices]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_all_its_parts(name: str) -> None:
    fault = FAULTS[name]
    assert fault.hops
    assert set(fault.hops) <= {hop.name for hop in HOPS}
    assert fault.causes
    assert set(fault.causes) <= {cause.name for cause in CAUSES}
    assert len(fault.hints) >= 3
    assert fault.title
    assert fault.undo
    assert fault.evidence.trace


@pytest.mark.parametrize("name", FAULTS)
def test_the_evidence_of_a_fault_exists(name: str) -> None:
    fault = FAULTS[name]
    config = monitoring_config(load("local"))
    models = {model["title"]: model for model in dashboards(config).values()}
    panels = [
        panel["title"] for row in models[fault.evidence.dashboard]["panels"] for panel in row.get("panels") or [row]
    ]
    assert fault.evidence.panel in panels
    alerts = {rule.name for group in groups(config) for rule in group.rules if isinstance(rule, AlertRule)}
    assert fault.alerts <= alerts
    if fault.evidence.runbook:
        assert (RUNBOOKS / f"{fault.evidence.runbook}.md").is_file()
