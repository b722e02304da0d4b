"""`make rollouts`: rolls versions out on the local stack under load: good, bad, and an interrupted one."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.rollouts.scenario import GATE, STAGES, Outcome, changed_settings, run
from checks.rollouts.versions import FAULTS, build
from contracts.errors import UserError
from local.jobs import Progress
from stack.settings import ROOT

EXPOSED_SECONDS: Final = 120.0
"""The time in which a bad version must be rolled back, from its first ready pod on."""
_NO_OP_SECONDS: Final = 10.0
_FIRST_SHARE: Final = 0.25
_COLUMNS: Final = ("scenario", "exit code", "new version exposed", "requests", "failed", "rolled back for", "problems")


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


def check_rollouts(console: Console, names: Sequence[str] = ()) -> bool:
    """Runs scenarios on the local stack, and then a deployment that changes nothing.

    Args:
        console: where the results are printed.
        names: the scenarios, by default all.

    Returns:
        Whether every scenario ended as expected, and the deployment was fast enough.

    Raises:
        UserError: a scenario is unknown.
    """
    if unknown := set(names) - SCENARIOS.keys():
        raise UserError(f"there is no scenario {min(unknown)!r}; the scenarios are {', '.join(SCENARIOS)}")
    table = Table(title="Rollouts under load")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    results = [_run(name, table, console) for name in names or SCENARIOS]
    seconds = _deploy_unchanged()
    console.print(table)
    console.print(f"a deployment that changes nothing: {seconds:.1f} s (goal {_NO_OP_SECONDS:.0f} s)")
    return all(results) and seconds <= _NO_OP_SECONDS


def _run(name: str, table: Table, console: Console) -> bool:
    """Runs one scenario and adds it to the table; returns whether it ended as expected."""
    scenario = SCENARIOS[name]
    console.print(f"[bold]{name}[/]")
    try:
        image = build(scenario.version, Progress(name))
        with changed_settings(images={"service": image}, rollout={"stages": STAGES, "maxPods": 4, "gate": GATE}):
            outcome = run(kill_after=scenario.kill_after)
    finally:
        restore_stack()
    console.print(outcome.output, style="dim", markup=False)
    unexpected = problems(scenario, outcome)
    reason = outcome.output.rpartition("rolling back: ")[2].partition("\n")[0] if scenario.code else ""
    table.add_row(
        name,
        str(outcome.code),
        f"{outcome.exposed_seconds:.0f} s",
        str(outcome.requests),
        str(len(outcome.failures)),
        reason,
        "; ".join(unexpected),
    )
    return not unexpected


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
