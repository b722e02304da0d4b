"""`make rollouts`: on the local stack under load, good versions to the end, bad ones back, an interrupted one on."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from checks.rollouts.scenario import GATE, STAGES, Outcome, changed, run
from checks.rollouts.versions import FAULTS, make
from local.jobs import Progress
from stack.settings import ROOT

BACK_SECONDS: Final = 120.0
"""Within which a bad version must be gone again, from its first ready pod on."""
_NO_OP_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A version, what is to become of it, and when its rollout is killed."""

    version: str
    code: int
    kill_after: float | None = None


SCENARIOS: Final = {
    "good": Scenario(version="good", code=0),
    **{name: Scenario(version=name, code=1) for name in FAULTS if name != "good"},
    "killed": Scenario(version="good", code=0, kill_after=25.0),
}


def complaints(scenario: Scenario, outcome: Outcome) -> list[str]:
    """What was not as it should be."""
    found = []
    if outcome.code != scenario.code:
        found.append(f"exit code {outcome.code}, not {scenario.code}")
    if scenario.code == 0 and outcome.failures:
        found.append(f"requests failed: {', '.join(map(str, outcome.failures[:10]))}")
    if scenario.code == 1 and outcome.exposed_seconds > BACK_SECONDS:
        found.append(f"exposed for {outcome.exposed_seconds:.0f} s")
    # The first stage's share; half as much again for chance.
    if scenario.code == 1 and len(outcome.failures) > outcome.requests * 0.25 * 1.5:
        found.append("more requests failed than the new version had")
    return found


def back_to_the_settings() -> None:
    """The local stack as it is declared, with no rollout half-way."""
    for module, arguments in (("stack.rollout", ["--abort"]), ("stack.deploy", [])):
        subprocess.run([sys.executable, "-m", module, "local", *arguments], cwd=ROOT, check=True)


def main() -> None:
    """Exit code 1 if anything was not as it should be."""
    known = list(SCENARIOS)
    parser = argparse.ArgumentParser(prog="python -m checks.rollouts", description=f"{__doc__} The local stack only.")
    parser.add_argument("--only", action="append", choices=known, help="only these; may be repeated")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    table = Table(title="Rollouts under load")
    for column in (
        "scenario",
        "exit code",
        "new version exposed",
        "requests",
        "failed",
        "judged by",
        "not as it should be",
    ):
        table.add_column(column, overflow="fold")
    wrong = False
    for name in asked.only or known:
        scenario = SCENARIOS[name]
        console.print(f"[bold]{name}[/]")
        try:
            image = make(scenario.version, Progress(name))
            with changed(images={"service": image}, rollout={"stages": STAGES, "maxPods": 4, "gate": GATE}):
                outcome = run(kill_after=scenario.kill_after)
        finally:
            back_to_the_settings()
        console.print(outcome.output, style="dim", markup=False)
        bad = complaints(scenario, outcome)
        wrong |= bool(bad)
        reason = outcome.output.rpartition("rolling back: ")[2].partition("\n")[0] if scenario.code else ""
        table.add_row(
            name,
            str(outcome.code),
            f"{outcome.exposed_seconds:.0f} s",
            str(outcome.requests),
            str(len(outcome.failures)),
            reason,
            "; ".join(bad),
        )
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "stack.deploy.deployment", "local"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.monotonic() - began
    console.print(table)
    console.print(f"a deployment that changes nothing: {seconds:.1f} s (goal {_NO_OP_SECONDS:.0f} s)")
    sys.exit(1 if wrong or seconds > _NO_OP_SECONDS else 0)


if __name__ == "__main__":
    main()
