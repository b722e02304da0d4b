"""Processes of this machine."""

import os


def is_running(pid: int) -> bool:
    """Whether a process with this number runs, also one of another user. Linux and macOS answer alike."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
