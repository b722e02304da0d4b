"""Whether a process runs, asked of the kernel."""

import os
import subprocess
import sys

from stack.processes import is_running


def test_a_process_runs_until_it_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(child.pid)
    child.communicate(b"\n")
    assert not is_running(child.pid)


def test_a_process_of_another_user_runs() -> None:
    assert is_running(1)
    assert is_running(os.getppid())
