"""The journal has a fault from before it is injected until it is undone."""

import json
from pathlib import Path
from typing import Any

import pytest

from checks.faults import stored
from checks.faults.changes import Change, CrashLooped, Deployed, Filtered, Misconfigured, Stopped, Throttled
from checks.faults.database import ConnectionsTaken, PasswordChanged, TableLocked
from checks.faults.journal import BusyError, Journal
from checks.faults.topics import TopicDeleted
from checks.faults.volumes import QueueVolumeFull
from contracts.errors import UserError

NO_CLUSTER: Any = None


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "fault.json")


@pytest.fixture
def limit(tmp_path: Path) -> Path:
    path = tmp_path / "limit"
    path.write_text("-1")
    return path


def throttled(limit: Path) -> Change:
    return Throttled(file=str(limit), original="-1", limit="4000")


def test_a_fault_is_in_the_journal_while_it_lasts(journal: Journal, limit: Path) -> None:
    with stored.injected("slow", lambda _: throttled(limit), NO_CLUSTER, journal):
        assert [entry.fault for entry in journal.read()] == ["slow"]
        assert limit.read_text() == "4000"
    assert limit.read_text() == "-1"
    assert journal.read() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_a_fault_is_undone_after_an_interrupt(journal: Journal, limit: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), stored.injected("slow", lambda _: throttled(limit), NO_CLUSTER, journal):
        raise error
    assert limit.read_text() == "-1"
    assert journal.read() == []


def test_a_fault_whose_undoing_fails_stays_in_the_journal(journal: Journal, tmp_path: Path) -> None:
    plan = Throttled(file=str(tmp_path), original="-1", limit="4000")
    with pytest.raises(IsADirectoryError), stored.injected("slow", lambda _: plan, NO_CLUSTER, journal):
        pass
    assert journal.read()


def test_the_next_process_undoes_what_a_killed_one_left(journal: Journal, limit: Path) -> None:
    journal.add("slow", stored.to_json(throttled(limit)))
    limit.write_text("4000")
    assert stored.undo_remaining(NO_CLUSTER, journal) == ["slow"]
    assert limit.read_text() == "-1"
    assert stored.undo_remaining(NO_CLUSTER, journal) == []


@pytest.mark.parametrize(
    "change",
    [
        Stopped(workload="kafka", replicas=1),
        Filtered(uid="u", rules=[["OUTPUT", "--jump", "DROP"]]),
        Deployed(deployment="gateway", original={"template": {}}, patch={"template": {}}, becomes_ready=True),
        Throttled(file="f", original="-1", limit="1"),
        Misconfigured(config_map="c", workload="collector", key="k", original="a", text="b"),
        CrashLooped(workload="web-crawler", replicas=1),
        PasswordChanged(password="p"),
        TopicDeleted(topic="task-status", partitions=3),
        QueueVolumeFull(path="/volumes/data-collector-0"),
    ],
)
def test_a_change_survives_the_journal(change: Change) -> None:
    restored = stored.from_json(json.loads(json.dumps(stored.to_json(change))))
    assert stored.to_json(restored) == stored.to_json(change)
    assert type(restored) is type(change)


@pytest.mark.parametrize("change", [TableLocked(), ConnectionsTaken()])
def test_what_ends_with_its_process_needs_no_undoing(change: Change) -> None:
    stored.from_json(json.loads(json.dumps(stored.to_json(change)))).undo(NO_CLUSTER)


def test_a_damaged_journal_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "fault.json"
    path.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        Journal(path).read()


def test_only_its_owner_reads_the_journal(journal: Journal, limit: Path, tmp_path: Path) -> None:
    journal.add("slow", stored.to_json(throttled(limit)))
    assert (tmp_path / "fault.json").stat().st_mode & 0o077 == 0


def test_one_process_at_a_time(journal: Journal) -> None:
    with journal.locked(), pytest.raises(BusyError, match="check drill --stop` ends it"), journal.locked():
        pass
    with journal.locked():
        pass


def test_faults_are_undone_in_reverse_order(journal: Journal, tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    for name, original in (("first", "1"), ("second", "2")):
        journal.add(name, stored.to_json(Throttled(file=str(limit), original=original, limit="9")))
    limit.write_text("9")
    assert stored.undo_remaining(NO_CLUSTER, journal) == ["second", "first"]
    assert limit.read_text() == "1"
