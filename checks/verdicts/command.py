"""`make verdicts`: how often simulated rollouts of good versions go back, and how soon bad versions do."""

import functools
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import NormalDist, median, quantiles
from typing import Final

from rich.console import Console

from checks.verdicts.simulation import GATEWAY, Ending, Result, Version, simulate
from contracts.errors import UserError
from stack.components.services.rollout import Rollout, Stage
from stack.release.plan import BASELINES
from stack.settings import ROOT

FAILURES: Final = (0.0, 0.001, 0.01, 0.03, 0.1, 0.2)
RATES: Final = (0.1, 1.0, 10.0, 100.0)
POWER_RATE: Final = 20.0
PAGE: Final = Path("docs/verdicts.md")
_LARGEST_FALSE_ALARMS: Final = 0.01
_SMALLEST_POWER: Final = 0.95
_HALF: Final = (Stage(share=0.5), Stage(share=1))
"""Stages in whose first one both versions have the same traffic."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of rollout that is simulated several times."""

    stable: Version
    canary: Version
    rate: float
    settings: Rollout = field(default_factory=Rollout)

    def run(self, seed: str) -> Result:
        """Simulates one rollout."""
        return simulate(Random(seed), self.stable, self.canary, self.rate, self.settings)


def identical(failures: float, rate: float) -> Case:
    """Both versions are the same."""
    version = Version(failures=failures)
    return Case(stable=version, canary=version, rate=rate)


def twice(failures: float) -> float:
    """Twice the failures, at least one point more."""
    return max(2 * failures, failures + 0.01)


def upper_bound(events: int, number: int, confidence: float = 0.95) -> float:
    """The largest share that so few events do not refute (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934)."""
    low, high = events / number, 1.0
    for _ in range(50):
        share = (low + high) / 2
        if _at_most(events, number, share) > 1 - confidence:
            low = share
        else:
            high = share
    return high


def _at_most(events: int, number: int, share: float) -> float:
    """The probability of so few events."""
    term = total = (1 - share) ** number
    for count in range(events):
        term *= (number - count) / (count + 1) * share / (1 - share) if share < 1 else 0.0
        total += term
    return total


def run_cases(cases: Mapping[str, Case], number: int, seed: int) -> dict[str, list[Result]]:
    """Simulates each case several times, on all cores. The results depend on the seed alone."""
    jobs = [(name, case, f"{seed} {name} {index}") for name, case in cases.items() for index in range(number)]
    results: dict[str, list[Result]] = {name: [] for name in cases}
    # A forked child of a process with threads (those of gRPC, say) may hang or crash; a new interpreter does not.
    new_interpreters = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=new_interpreters) as pool:
        for (name, *_), result in zip(jobs, pool.map(_run, jobs, chunksize=4), strict=True):
            results[name].append(result)
    return results


def _run(job: tuple[str, Case, str]) -> Result:
    _, case, seed = job
    return case.run(seed)


def same_cases() -> dict[str, Case]:
    """Rollouts of a version that is as good as the stable one."""
    cases = {f"{failures:g} {rate:g}": identical(failures, rate) for failures in FAILURES for rate in RATES}
    outage = Version(failures=0.01, outage=0.3)
    return cases | {f"outage {rate:g}": Case(stable=outage, canary=outage, rate=rate) for rate in RATES}


def worse_cases() -> dict[str, Case]:
    """Rollouts of a bad version: first stage of 5 %, and of half of the traffic."""
    cases = {}
    for share, settings in (("5 %", Rollout()), ("50 %", Rollout(stages=_HALF))):
        make = functools.partial(Case, rate=POWER_RATE, settings=settings)
        for failures in FAILURES:
            bad = Version(failures=failures, changes={GATEWAY: twice(failures)})
            cases[f"{failures:.1%} → {twice(failures):.1%}, {share}"] = make(
                stable=Version(failures=failures), canary=bad
            )
        usual = Version(failures=0.01)
        cases[f"50 ms slower, {share}"] = make(stable=usual, canary=Version(failures=0.01, delay=0.05))
    return cases


def verdicts(console: Console, *, rollouts: int, seed: int) -> bool:
    """Simulates rollouts, prints the tables, and writes them to the documentation.

    Args:
        console: where the tables are printed.
        rollouts: simulated rollouts of each case.
        seed: of the random numbers.

    Returns:
        Whether good versions go back, and bad ones pass, as seldom as promised.

    Raises:
        UserError: so few rollouts cannot show it.
    """
    if upper_bound(0, rollouts * len(same_cases())) > _LARGEST_FALSE_ALARMS:
        raise UserError("so few rollouts cannot show that less than 1 % go back: use --rollouts=11 or more")
    same = run_cases(same_cases(), rollouts, seed)
    worse = run_cases(worse_cases(), 4 * rollouts, seed)
    text = page(same, worse, seed)
    console.print(text, markup=False)
    (ROOT / PAGE).write_text(text)
    results = [result for group in same.values() for result in group]
    caught = [_share_of(Ending.BACK, group) for group in worse.values()]
    return (
        upper_bound(_count(Ending.BACK, results), len(results)) <= _LARGEST_FALSE_ALARMS
        and min(caught) >= _SMALLEST_POWER
    )


def page(same: Mapping[str, Sequence[Result]], worse: Mapping[str, Sequence[Result]], seed: int) -> str:
    """The page of the documentation."""
    results = [result for group in same.values() for result in group]
    number, back = len(next(iter(same.values()))), _count(Ending.BACK, results)
    lines = [
        "# How often a verdict of a rollout is wrong",
        "",
        "Written by `make verdicts`, which simulates rollouts through the code that judges real ones",
        f"(`stack/rollout/judge.py`; seed {seed}). The settings are the defaults: four stages of at least 300 s,",
        "a look every 5 s, `falseAlarms: 0.01`. Three services have operations at the same rate, which fail",
        "independently of each other. `stack/rollout/evidence.py` names the methods.",
        "",
        "## The same version",
        "",
        f"Rollouts that went back, and that were held as undecided, of {number} each. The rate is that of users at the",
        "canary, in requests/s; the rollout adds at most 5 requests/s of its own, to both versions together.",
        "",
        f"| failures of both | {' | '.join(f'{rate:g}/s' for rate in RATES)} |",
        f"|---|{'---|' * len(RATES)}",
    ]
    for failures in (*FAILURES, None):
        title = "1 %, and 30 % in every third minute" if failures is None else f"{failures:.1%}"
        key = "outage" if failures is None else f"{failures:g}"
        cells = [_wrong(same[f"{key} {rate:g}"]) for rate in RATES]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    bound = upper_bound(back, len(results))
    lines += [
        "",
        f"In all {back} of {len(results):,} went back: at most {bound:.2%}, with a confidence of 95 %.",
        "",
        "## A worse version",
        "",
        f"The canary has {POWER_RATE:g} requests/s, and in the first stage 5 % or half of the traffic. The gateway's",
        "requests fail twice as often, and at least by one point more; or they take 50 ms longer. The baseline has",
        f"up to {BASELINES} times the traffic of the canary. The exposure is the time from the first request of the",
        "canary to the verdict. For scale, the last column is the length of a",
        "test with one look, at its end, that has a false alarm in 1 % and misses 5 % (normal approximation).",
        "",
        f"| version, first stage | went back, of {len(next(iter(worse.values())))} | median exposure | 95 % within "
        "| a single look |",
        "|---|---|---|---|---|",
    ]
    for name, group in worse.items():
        seconds = [result.seconds for result in group if result.ending is Ending.BACK]
        # A gate that catches nearly none of a bad version is the result that the table must be able to show.
        exposure = f"{median(seconds):.0f} s | {quantiles(seconds, n=20)[-1]:.0f} s" if len(seconds) > 1 else "|"
        lines.append(f"| {name} | {_share_of(Ending.BACK, group):.1%} | {exposure} | {_single_look(name)} |")
    return "\n".join([*lines, ""])


def _single_look(name: str) -> str:
    """Seconds until one look separates both versions of a case."""
    case = worse_cases()[name]
    stable, canary = case.stable.share(GATEWAY, 0), case.canary.share(GATEWAY, 0)
    if stable == canary:
        return ""
    normal, share = NormalDist(), case.settings.stages[0].share
    variance = canary * (1 - canary) + stable * (1 - stable) / min((1 - share) / share, BASELINES)
    operations = (normal.inv_cdf(0.99) + normal.inv_cdf(0.95)) ** 2 * variance / (canary - stable) ** 2
    return f"{operations / case.rate:.0f} s"


def _wrong(group: Sequence[Result]) -> str:
    back, held = _count(Ending.BACK, group), _count(Ending.HELD, group)
    return f"{back}, {held} held" if held else str(back)


def _count(ending: Ending, group: Sequence[Result]) -> int:
    return sum(result.ending is ending for result in group)


def _share_of(ending: Ending, group: Sequence[Result]) -> float:
    return _count(ending, group) / len(group)
