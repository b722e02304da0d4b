"""Several rounds choose different faults, and are summed up."""

import pytest

from checks.drill.command import choose
from checks.drill.rounds import Round, summary
from checks.drill.session import Result
from checks.faults.catalogue import faults
from contracts.errors import UserError

FAULTS = faults("jaeger")


def played(
    fault: str, seconds: float, alert: float | None = None, hints: int = 0, wrong: int = 0, is_solved: bool = True
) -> Round:
    result = Result(is_solved=is_solved, seconds=seconds, hints=hints, wrong=wrong)
    return Round(fault=fault, result=result, first_alert=alert)


def test_the_faults_of_several_rounds_differ() -> None:
    names = choose(FAULTS, (), 7, 10)
    assert len(set(names)) == 10
    assert choose(FAULTS, (), 7, 10) == names
    assert choose(FAULTS, (), 8, 10) != names
    assert sorted(choose(FAULTS, ["dns-failing", "kafka-down", "kafka-down"], 7, 2)) == ["dns-failing", "kafka-down"]


def test_more_rounds_than_faults_are_refused() -> None:
    with pytest.raises(UserError, match="3 rounds need as many faults; there are 2"):
        choose(FAULTS, ["dns-failing", "kafka-down"], 7, 3)


def test_the_summary_has_the_median_the_worst_and_the_costs() -> None:
    rounds = [
        played("kafka-down", 40, 9),
        played("dns-failing", 200, hints=2, wrong=1),
        played("crash-loop", 700, 30, is_solved=False),
    ]
    text = summary(rounds, 7)
    assert "| 1 | kafka-down | yes | 40 | 40 | 0 | 0 | 9 s |" in text
    assert "| 2 | dns-failing | yes | 200 | 380 | 2 | 1 | none |" in text
    assert "| 3 | crash-loop | no | 700 | 700 | 0 | 0 | 30 s |" in text
    assert "| found | 2 of 3 | all |" in text
    assert "| median | 200 s | 180 s |" in text
    assert "| worst | 700 s | 600 s |" in text
    assert "| hints | 2 | |" in text
    assert "| wrong answers | 1 | |" in text
    assert "Seed: 7." in text
