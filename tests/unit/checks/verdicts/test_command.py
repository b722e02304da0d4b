"""The page of the simulated verdicts."""

from checks.verdicts.command import page, same_cases, worse_cases
from checks.verdicts.simulation import Ending, Result


def results(ending: Ending) -> list[Result]:
    return [Result(ending=ending, seconds=10.0 * number, reason="") for number in range(1, 5)]


def test_the_page_shows_bad_versions_that_never_go_back() -> None:
    same = {name: results(Ending.PROMOTED) for name in same_cases()}
    worse = {name: results(Ending.BACK) for name in worse_cases()}
    missed, caught, *_ = worse
    worse[missed] = results(Ending.PROMOTED)
    text = page(same, worse, seed=1)
    assert f"| {missed} | 0.0% | | | " in text
    assert f"| {caught} | 100.0% | 25 s | " in text
