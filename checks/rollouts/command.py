"""`make rollouts`: rolls versions out on the local stack under load: good, bad, and an interrupted one."""

import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from checks.rollouts.results import Result, append, missing, read, summary
from checks.rollouts.scenario import GATE, STAGES, Outcome, changed_settings, run
from checks.rollouts.versions import FAULTS, build
from contracts.errors import UserError
from local.jobs import Progress
from stack.settings import ROOT

EXPOSED_SECONDS: Final = 120.0
"""The time in which a bad version must be rolled back, from its first ready pod on."""
_NO_OP_SECONDS: Final = 5.0
_FIRST_SHARE: Final = 0.25
RESULTS: Final = ROOT / ".local" / "rollouts.jsonl"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A version, the expected exit code of its rollout, and when that is killed."""

    version: str
    code: int
    kill_after: float | None = None


SCENARIOS: Final = {
    "good": Scenario(version="good", code=0),
    **{name: Scenario(version=name, code=1) for name in FAULTS if name != "good"},
    "killed": Scenario(version="good", code=0, kill_after=25.0),
}


def check_rollouts(
    console: Console, names: Sequence[str] = (), *, times: int | None = None, minutes: float | None = None
) -> bool:
    """Runs scenarios on the local stack, and then a deployment that changes nothing.

    Each result is added to a file.

    Args:
        console: where the results are printed.
        names: the scenarios, by default all.
        times: runs each scenario until the file has that many results of it, so that a later run continues. By default
            each scenario runs once.
        minutes: no rollout starts after this time; None is no limit.

    Returns:
        Whether every scenario ended as expected, and the deployment was fast enough.

    Raises:
        UserError: a scenario is unknown.
    """
    if unknown := set(names) - SCENARIOS.keys():
        raise UserError(f"there is no scenario {min(unknown)!r}; the scenarios are {', '.join(SCENARIOS)}")
    chosen, end = list(names or SCENARIOS), time.monotonic() + (math.inf if minutes is None else 60 * minutes)
    earlier = [] if times is None else [result for result in read(RESULTS) if result.scenario in chosen]
    made: list[Result] = []
    for name in missing(chosen, dict.fromkeys(chosen, times or 1), earlier):
        if time.monotonic() > end:
            break
        made.append(_run(name, console))
        append(RESULTS, made[-1])
    seconds = _deploy_unchanged()
    results = [*earlier, *made]
    console.print(summary(results))
    console.print(f"a deployment that changes nothing: {seconds:.1f} s (goal {_NO_OP_SECONDS:.0f} s)")
    return not any(result.problems for result in results) and seconds <= _NO_OP_SECONDS


def _run(name: str, console: Console) -> Result:
    """Runs one scenario."""
    scenario = SCENARIOS[name]
    console.print(f"[bold]{name}[/]")
    try:
        image = build(scenario.version, Progress(name))
        with changed_settings(images={"service": image}, rollout={"stages": STAGES, "maxPods": 4, "gate": GATE}):
            outcome = run(kill_after=scenario.kill_after)
    finally:
        restore_stack()
    console.print(outcome.output, style="dim", markup=False)
    return Result(
        scenario=name,
        code=outcome.code,
        exposed_seconds=outcome.exposed_seconds,
        requests=outcome.requests,
        failed=len(outcome.failures),
        reason=outcome.output.rpartition("rolling back: ")[2].partition("\n")[0] if outcome.code == 1 else "",
        problems=problems(scenario, outcome),
    )


def problems(scenario: Scenario, outcome: Outcome) -> list[str]:
    """How an outcome differs from the expected one."""
    unexpected = []
    if outcome.code != scenario.code:
        unexpected.append(f"exit code {outcome.code}, not {scenario.code}")
    if scenario.code == 0 and outcome.failures:
        unexpected.append(f"requests failed: {', '.join(map(str, outcome.failures[:10]))}")
    if scenario.code == 1 and outcome.exposed_seconds > EXPOSED_SECONDS:
        unexpected.append(f"exposed for {outcome.exposed_seconds:.0f} s")
    # Half as much again, since the share of the requests varies.
    if scenario.code == 1 and len(outcome.failures) > outcome.requests * _FIRST_SHARE * 1.5:
        unexpected.append("more requests failed than the new version had")
    return unexpected


def restore_stack() -> None:
    """Ends a rollout that is under way, and deploys the local stack as it is declared."""
    for command in (["rollout", "local", "--abort"], ["deploy", "local", "--no-smoke"]):
        subprocess.run([sys.executable, "-m", "cli", *command], cwd=ROOT, check=True)


def _deploy_unchanged() -> float:
    """Deploys the local stack unchanged; returns the seconds that it took."""
    started = time.monotonic()
    command = [sys.executable, "-m", "cli", "deploy", "local", "--no-smoke"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started
