"""The state that a killed `pulumi up` leaves is repaired; the CLI itself runs in `make up`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from stack.deploy.checkpoint import has_stale_lock, repair_checkpoint
from stack.settings import PROJECT


def _lock(state: Path, pid: int) -> None:
    lock = state / ".pulumi" / "locks" / "organization" / PROJECT / "local" / "some-id.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": pid, "hostname": "here"}))


def _checkpoint(state: Path, text: str, digest: str, previous: str) -> Path:
    checkpoint = state / ".pulumi" / "stacks" / PROJECT / "local.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text(text)
    checkpoint.with_name("local.json.attrs").write_text(digest)
    checkpoint.with_name("local.json.bak").write_text(previous)
    return checkpoint


def _ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_state_without_a_lock_needs_no_repair(tmp_path: Path) -> None:
    assert not has_stale_lock(tmp_path)


def test_the_lock_of_a_running_process_is_not_stale(tmp_path: Path) -> None:
    _lock(tmp_path, os.getpid())
    assert not has_stale_lock(tmp_path)


def test_a_lock_whose_process_has_ended_is_stale_and_a_complete_checkpoint_stays(tmp_path: Path) -> None:
    _lock(tmp_path, _ended_process())
    checkpoint = _checkpoint(tmp_path, '{"newest": 1}', '{"md5": ""}', '{"previous": 1}')
    assert has_stale_lock(tmp_path)
    repair_checkpoint(tmp_path, "local")
    assert checkpoint.read_text() == '{"newest": 1}'
    assert checkpoint.with_name("local.json.attrs").exists()


def test_a_lock_that_was_cut_off_is_stale(tmp_path: Path) -> None:
    _lock(tmp_path, os.getpid())
    for lock in tmp_path.rglob("some-id.json"):
        lock.write_text("")
    assert has_stale_lock(tmp_path)


def test_a_digest_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    _lock(tmp_path, _ended_process())
    checkpoint = _checkpoint(tmp_path, '{"newest": 1}', "", '{"previous": 1}')
    assert has_stale_lock(tmp_path)
    repair_checkpoint(tmp_path, "local")
    assert checkpoint.read_text() == '{"newest": 1}'
    assert not checkpoint.with_name("local.json.attrs").exists()


def test_a_checkpoint_that_was_cut_off_is_replaced_by_the_previous_one(tmp_path: Path) -> None:
    _lock(tmp_path, _ended_process())
    checkpoint = _checkpoint(tmp_path, '{"newest', '{"md5": ""}', '{"previous": 1}')
    assert has_stale_lock(tmp_path)
    repair_checkpoint(tmp_path, "local")
    assert checkpoint.read_text() == '{"previous": 1}'
    assert not checkpoint.with_name("local.json.attrs").exists()


def test_without_any_readable_checkpoint_the_stack_starts_empty(tmp_path: Path) -> None:
    _lock(tmp_path, _ended_process())
    checkpoint = _checkpoint(tmp_path, "", "", "")
    assert has_stale_lock(tmp_path)
    repair_checkpoint(tmp_path, "local")
    assert not checkpoint.exists()
