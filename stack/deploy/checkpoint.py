"""Repairs the local stack's Pulumi state after an update that was killed.

Pulumi's file backend writes a lock, a checkpoint (the stack's state) and the checkpoint's digest in place. `make up`
may be interrupted at any moment, and a process that is killed leaves its lock, and perhaps a file that is cut off. The
CLI refuses both; a person would have to run `pulumi cancel` and restore the `.bak` file.

Only the local stack's state is repaired: one process at a time writes it, on this machine. The backends of other stacks
are shared by a team, where only a person can tell whether a lock is stale.
"""

import json
import shutil
from pathlib import Path

from stack.processes import is_running
from stack.settings import PROJECT


def has_stale_lock(state: Path) -> bool:
    """Whether there is a lock in this folder, and no process that holds one runs."""
    locks = list((state / ".pulumi" / "locks").rglob("*.json"))
    # A lock that was cut off does not name its process, which was killed then.
    owners = [json.loads(lock.read_text())["pid"] for lock in locks if _is_json(lock)]
    return bool(locks) and not any(map(is_running, owners))


def repair_checkpoint(state: Path, stack: str) -> None:
    """Replaces a checkpoint that was cut off by the previous one, and drops a digest that does not fit.

    Without a readable checkpoint the stack starts empty: the next update takes over the objects that exist.
    """
    checkpoint = state / ".pulumi" / "stacks" / PROJECT / f"{stack}.json"
    digest = checkpoint.with_name(f"{checkpoint.name}.attrs")  # optional
    if not _is_json(digest):
        digest.unlink(missing_ok=True)
    if checkpoint.is_file() and not _is_json(checkpoint):
        digest.unlink(missing_ok=True)
        previous = checkpoint.with_name(f"{checkpoint.name}.bak")
        if _is_json(previous):
            shutil.copy(previous, checkpoint)
        else:
            checkpoint.unlink()


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    return True
