"""`make detect`: the time from a fault in the local stack to its alert; or an hour without faults and alerts."""

import argparse
import signal
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from checks.chaos.cluster import LocalCluster
from checks.detect.faults import faults
from checks.detect.run import Detection, Run
from contracts import endpoints
from contracts.errors import UserError
from stack.settings import load


def detect(console: Console, *, names: Sequence[str] = (), rate: float = 10) -> list[Detection]:
    """Injects faults into the local stack, and prints after what time an alert reported each.

    Args:
        console: where progress and the result are printed.
        names: the faults, by default all.
        rate: requests per second meanwhile.

    Raises:
        UserError: the stack cannot be reached, or does not recover from a fault.
    """
    cluster = LocalCluster(load("local"))
    known = faults(cluster.store)
    detections = Run(cluster, console.print).faults([(name, known[name]) for name in names or known], rate)
    show(detections, console)
    return detections


def watch(console: Console, seconds: float, *, rate: float = 10) -> set[str]:
    """Runs normal traffic without faults; returns the names of the alerts that fire all the same.

    Raises:
        UserError: the stack cannot be reached.
    """
    false_alarms = Run(LocalCluster(load("local")), console.print).without_faults(seconds, rate)
    if not false_alarms:
        console.print(f"no alert in {seconds:.0f} s of normal traffic")
    return false_alarms


def show(detections: Sequence[Detection], console: Console) -> None:
    """Prints a table of the detections."""
    table = Table(title="Time to detect")
    for column in ("fault", "alert", "after", "goal", "other firing alerts"):
        table.add_column(column)
    for detection in detections:
        color = "green" if detection.is_in_time else "red"
        table.add_row(
            detection.fault,
            detection.alert or "none",
            f"[{color}]{detection.seconds:.0f} s[/]",
            f"{detection.goal:.0f} s",
            ", ".join(detection.other_alerts),
        )
    console.print(table)


def main() -> None:
    """Exit code 1: a fault was detected too late or not at all, or an alert was false."""
    known = list(faults(endpoints.JAEGER))
    parser = argparse.ArgumentParser(
        prog="python -m checks.detect", description=f"{__doc__} Faults: {', '.join(known)}. The local stack only."
    )
    parser.add_argument("--fault", action="append", choices=known, default=[], help="only these; may be repeated")
    parser.add_argument("--rate", type=float, default=10, help="requests per second meanwhile (10)")
    parser.add_argument(
        "--quiet", type=float, metavar="SECONDS", help="no faults: normal traffic for this time, and no alert may fire"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that each fault is removed
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    try:
        if options.quiet:
            if false_alarms := watch(console, options.quiet, rate=options.rate):
                sys.exit(f"error: false alarms: {', '.join(sorted(false_alarms))}")
            return
        detections = detect(console, names=options.fault, rate=options.rate)
    except (UserError, ValueError) as error:
        sys.exit(f"error: {error}")
    if late := [detection.fault for detection in detections if not detection.is_in_time]:
        sys.exit(f"error: detected too late or not at all: {', '.join(late)}")


if __name__ == "__main__":
    main()
