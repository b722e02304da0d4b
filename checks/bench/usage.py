"""What this process has used so far, its children included."""

from __future__ import annotations

import gc
import os
import re
import resource
import time
from pathlib import Path


def cpu_seconds() -> float:
    """CPU time of all threads of this process and of the children it had.

    Raises RuntimeError when a child still runs: its time could not be told.
    """
    try:
        os.waitpid(-1, os.WNOHANG)
        raise RuntimeError("a child of the measured process runs on, its CPU time would be missing")
    except ChildProcessError:  # there is none
        pass
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def resident_mib() -> float:
    """Memory in RAM, after a garbage collection, in MiB."""
    gc.collect()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
