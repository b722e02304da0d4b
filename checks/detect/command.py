"""`make detect`: the time from a fault in the local stack to its alert; or an hour without faults and alerts."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from checks.chaos.cluster import LocalCluster
from checks.detect.run import Detection, Run
from checks.faults.catalogue import faults
from contracts.errors import UserError
from stack.settings import load_here


def detect(console: Console, *, names: Sequence[str] = (), rate: float = 10) -> list[Detection]:
    """Injects faults into the local stack, and prints after what time an alert reported each.

    Args:
        console: where progress and the result are printed.
        names: the faults, by default all that have an alert.
        rate: requests per second meanwhile.

    Raises:
        UserError: a fault is unknown, or the stack cannot be reached or does not recover.
    """
    cluster = LocalCluster(load_here("local"))
    known = {name: fault for name, fault in faults(cluster.store).items() if fault.alerts}
    if unknown := set(names) - known.keys():
        raise UserError(f"there is no fault {min(unknown)!r}; the faults are {', '.join(known)}")
    detections = Run(cluster, console.print).faults([{name: known[name]} for name in names or known], rate)
    show(detections, console)
    return detections


def watch(console: Console, seconds: float, *, rate: float = 10) -> set[str]:
    """Runs normal traffic without faults; returns the names of the alerts that fire all the same.

    Raises:
        UserError: the stack cannot be reached.
    """
    false_alarms = Run(LocalCluster(load_here("local")), console.print).without_faults(seconds, rate)
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
