"""CPU time and memory of this process and its children."""

import gc
import os
import re
import resource
import time
from pathlib import Path


def cpu_seconds() -> float:
    """Return the CPU time of all threads of this process and of its ended children.

    Raises:
        RuntimeError: a child still runs, so its CPU time is unknown.
    """
    try:
        os.waitpid(-1, os.WNOHANG)
        raise RuntimeError("a child of the measured process still runs, so its CPU time is unknown")
    except ChildProcessError:  # there is none
        pass
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def resident_mib() -> float:
    """Return the resident memory in MiB, after a garbage collection."""
    gc.collect()
    resident = re.search(r"^VmRSS:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert resident is not None
    return int(resident[1]) / 1024
