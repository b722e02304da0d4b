"""`make detect`: faults in the local stack, and the time until an alert tells of each; or an hour without any."""

import argparse
import signal
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from checks.chaos.cluster import LocalCluster
from checks.detect.faults import faults
from checks.detect.run import Detected, Run
from contracts import endpoints
from stack.errors import DeployError
from stack.polling import CheckFailure
from stack.settings import SettingsError, load


def show(results: Sequence[Detected], console: Console) -> None:
    """The table of what was detected when."""
    table = Table(title="Time to detect")
    for column in ("fault", "alert", "after", "goal", "also firing by then"):
        table.add_column(column)
    for result in results:
        colour = "green" if result.in_time else "red"
        table.add_row(
            result.fault,
            result.alert or "none",
            f"[{colour}]{result.seconds:.0f} s[/]",
            f"{result.goal:.0f} s",
            ", ".join(result.also),
        )
    console.print(table)


def main() -> None:
    """Exit code 1 if a fault is detected too late or not at all, or if an alert is false."""
    known = faults(endpoints.JAEGER)
    parser = argparse.ArgumentParser(
        prog="python -m checks.detect", description=f"{__doc__} Faults: {', '.join(known)}. The local stack only."
    )
    parser.add_argument("--fault", action="append", choices=list(known), help="only these; may be repeated")
    parser.add_argument("--rate", type=float, default=10, help="requests a second meanwhile (10)")
    parser.add_argument(
        "--quiet", type=float, metavar="SECONDS", help="no faults: normal traffic for so long, and no alert may fire"
    )
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no fault stays
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    try:
        cluster = LocalCluster(load("local"))
        run = Run(cluster, console.print)
        if asked.quiet:
            if fired := run.quiet(asked.quiet, asked.rate):
                sys.exit(f"error: false alarms: {', '.join(sorted(fired))}")
            console.print(f"no alert in {asked.quiet:.0f} s of normal traffic")
            return
        chosen = faults(cluster.store)
        results = run.faults([(name, chosen[name]) for name in asked.fault or chosen], asked.rate)
    except (SettingsError, DeployError, CheckFailure, ValueError) as error:
        sys.exit(f"error: {error}")
    show(results, console)
    if late := [result.fault for result in results if not result.in_time]:
        sys.exit(f"error: detected too late or not at all: {', '.join(late)}")


if __name__ == "__main__":
    main()
