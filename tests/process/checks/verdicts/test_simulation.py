"""Whole rollouts, simulated through the code that judges real ones, keep the promised error rates."""

from checks.verdicts.command import (
    RATES,
    identical,
    run_cases,
    same_cases,
    upper_bound,
    worse_cases,
)
from checks.verdicts.simulation import Ending
from stack.components.services.rollout import Rollout, Stage
from tests.support.profiles import is_nightly

SHORT = Rollout(stages=tuple(Stage(share=share, soak_seconds=30) for share in (0.05, 0.25, 0.5, 1)))
"""Stages that end as soon as they are decided."""


def test_a_version_that_is_as_good_goes_back_in_less_than_one_of_a_hundred_rollouts() -> None:
    cases = {name: case.__class__(**{**vars(case), "settings": SHORT}) for name, case in same_cases().items()}
    # None of 308 may go back, at night four of 1,008: the bound is below one of a hundred then.
    number = 36 if is_nightly() else 11
    results = [result for group in run_cases(cases, number, seed=2).values() for result in group]
    back = [result for result in results if result.ending is Ending.BACK]
    assert upper_bound(len(back), len(results)) <= 0.01, back


def test_a_version_with_twice_the_failures_and_a_slower_one_go_back() -> None:
    for name, group in run_cases(worse_cases(), 60, seed=3).items():
        caught = sum(result.ending is Ending.BACK for result in group)
        assert caught >= 57, (name, group)


def test_little_traffic_holds_a_rollout_and_never_sends_it_back() -> None:
    settings = Rollout.model_validate({"stages": SHORT.stages, "gate": {"probesPerSecond": 0.1}})
    case = identical(0.03, RATES[0])
    held = case.__class__(stable=case.stable, canary=case.canary, rate=case.rate, settings=settings)
    # In this process: for so few, new interpreters would take longer than the simulation.
    results = [held.run(f"4 little {index}") for index in range(4)]
    assert {result.ending for result in results} == {Ending.HELD}
    assert "more" in results[0].reason
