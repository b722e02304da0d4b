"""A program that is rendered leaves no open files, so that a process can render many of them."""

import gc
from pathlib import Path

from tests.support.program import dev_with


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_nothing_stays_open() -> None:
    was_enabled = gc.isenabled()
    gc.disable()  # what only the collection of cycles closes counts as open
    try:
        dev_with(collector={"sampling": {"ratio": 0.31}})
        opened = open_files()
        dev_with(collector={"sampling": {"ratio": 0.32}})
        assert open_files() == opened
    finally:
        if was_enabled:
            gc.enable()
