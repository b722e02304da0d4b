"""A process that ends while its fault is in: by a signal it undoes the fault; if it is killed, the next one does."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checks.drill.lines import Lines
from checks.faults.journal import BusyError, Journal
from checks.faults.stored import undo_remaining

PROGRAM = """
import signal, sys, time
from pathlib import Path
from checks.faults.changes import Throttled
from checks.faults.journal import Journal
from checks.faults.stored import injected
from cli.group import exit_on_termination

limit = Path(sys.argv[1])
exit_on_termination()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets programs in the background ignore it
journal = Journal(limit.with_name("fault.json"))
with journal.locked(), injected("slow", lambda _: Throttled(file=str(limit), original="-1", limit="4"), None, journal):
    print("page", flush=True)
    while True:  # signal.pause() misses a signal that arrives just before
        time.sleep(0.1)
"""
NO_CLUSTER: Any = None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_fault_is_undone_in_every_case(number: signal.Signals, tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("-1")
    journal = Journal(tmp_path / "fault.json")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(limit)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "page\n"
            assert limit.read_text() == "4"
            with pytest.raises(BusyError) as busy, journal.locked():
                pass
            assert busy.value.process == process.pid
            process.send_signal(number)
            process.wait(30)
        finally:
            process.kill()
    with journal.locked():
        is_killed = number is signal.SIGKILL
        assert limit.read_text() == ("4" if is_killed else "-1")
        assert undo_remaining(NO_CLUSTER, journal) == (["slow"] if is_killed else [])
    assert limit.read_text() == "-1"


def test_lines_of_a_pipe_are_read_with_a_time_limit() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        assert echo.stdin
        assert echo.stdout
        lines = Lines(echo.stdout.fileno())
        assert lines.read(0) is None
        assert not lines.ended
        echo.stdin.write(b"hint\nkafka, sto")
        echo.stdin.flush()
        assert lines.read(30) == "hint"
        assert lines.read(0) is None
        echo.stdin.write(b"pped\nend")
        echo.stdin.close()
        assert lines.read(30) == "kafka, stopped"
        assert lines.read(30) == "end"
        assert lines.ended
