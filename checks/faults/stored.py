"""Changes as JSON, and the injection of a fault with its entry in the journal."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from checks.chaos.cluster import LocalCluster
from checks.faults import changes, database, topics, volumes
from checks.faults.changes import Change, Plan
from checks.faults.journal import Journal

_KINDS: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (
        changes.Stopped,
        changes.Filtered,
        changes.Deployed,
        changes.Throttled,
        changes.Misconfigured,
        changes.CrashLooped,
        database.TableLocked,
        database.ConnectionsTaken,
        database.PasswordChanged,
        topics.TopicDeleted,
        volumes.QueueVolumeFull,
    )
}


def to_json(change: Change) -> dict[str, Any]:
    """A change as the journal stores it."""
    return {"kind": type(change).__name__, **changes.fields_of(change)}


def from_json(document: dict[str, Any]) -> Change:
    """The change of a journal."""
    values = dict(document)
    change: Change = _KINDS[values.pop("kind")](**values)
    return change


@contextlib.contextmanager
def injected(name: str, plan: Plan, cluster: LocalCluster, journal: Journal) -> Iterator[None]:
    """Injects a fault while the context is open. The journal has it from before the change until it is undone."""
    change = plan(cluster)
    journal.add(name, to_json(change))
    try:
        change.apply(cluster)
        yield
    finally:
        change.undo(cluster)
        journal.remove(name)


def undo_remaining(cluster: LocalCluster, journal: Journal) -> list[str]:
    """Undoes the faults of a process that was killed, the latest first; returns their names."""
    names = []
    for entry in reversed(journal.read()):
        from_json(entry.change).undo(cluster)
        journal.remove(entry.fault)
        names.append(entry.fault)
    return names
