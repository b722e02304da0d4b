"""A control group with a memory limit, as a container has one."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def memory_limit(mebibytes: int) -> Iterator[tuple[Callable[[], None], Callable[[], int]]]:
    """(a function that moves the calling process into the group, a function that returns the peak in MiB).

    The test is skipped if no group can be created.
    """
    name = f"web-crawl-{uuid.uuid4().hex[:8]}"
    if (_ROOT / "cgroup.controllers").exists():
        group, limit, peak = _ROOT / name, "memory.max", "memory.peak"
    else:
        group, limit, peak = _ROOT / "memory" / name, "memory.limit_in_bytes", "memory.max_usage_in_bytes"
    try:
        group.mkdir()
        (group / limit).write_text(str(mebibytes << 20))
    except OSError as error:
        if group.exists():
            group.rmdir()
        pytest.skip(f"no control group with a memory limit can be created ({error})")

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        yield join, lambda: int((group / peak).read_text()) >> 20
    finally:
        group.rmdir()
