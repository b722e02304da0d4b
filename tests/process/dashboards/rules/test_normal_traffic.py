"""Normal traffic raises no alert, and no alert goes from pending to inactive again and again: promtool runs it."""

from pathlib import Path
from typing import Final

from dashboards.rules import RuleGroup, groups
from stack.settings.monitoring import monitoring_config
from tests.support.alert_cases.normal_traffic import DAY, HOUR, normal
from tests.support.alert_cases.stacks import settings
from tests.support.profiles import is_nightly
from tests.support.promtool import STEP, Check, binary, run_checks
from tests.support.rule_selection import needed

_MOST_FLAPS: Final = 2
"""How often an alert may become pending and end without firing, within a run."""
_SEED: Final = 16


def checks(length: int) -> list[Check]:
    """Return the checks at the end of a run: no alert fired, and none flapped."""
    pending = 'ALERTS{alertstate="pending"}'
    began = f"({pending} unless {pending} offset {STEP}s)[{length}s:{STEP}s]"
    firing = f'ALERTS{{alertstate="firing",alertname!="Watchdog"}}[{length}s]'
    return [
        Check(query=f"sum by (alertname) (count_over_time({firing}))", seconds=length),
        Check(query=f"sum by (alertname) (sum_over_time({began})) > {_MOST_FLAPS}", seconds=length),
    ]


def test_a_day_of_normal_traffic_raises_no_alert(tmp_path: Path) -> None:
    """A day at night; else an hour from night to day, without the accounting of spans."""
    length = DAY if is_nightly() else HOUR
    stack = settings("plain")
    rules: tuple[RuleGroup, ...] = groups(monitoring_config(stack))
    if not is_nightly():
        rules = tuple(group for group in rules if group.name != "span-accounting")
    metrics = needed(normal(stack, length, _SEED), rules)
    assert not run_checks(binary(), tmp_path, rules, metrics, checks(length), seconds=length / 2)
