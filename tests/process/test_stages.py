"""The stages of `make test`: those in the background run at the same time, with a low priority."""

import sys
import uuid
from pathlib import Path

import pytest

from stack.settings import ROOT
from tests.__main__ import COMPUTING, run
from tests.process.conftest import SHARING
from tests.support.background import Background, Stage, low_priority


def stage(name: str, code: str) -> Stage:
    """Return a stage that runs Python code."""
    return name, (sys.executable, "-c", code)


def test_the_first_stage_that_fails_is_the_last(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    write = f"open({str(file)!r}, 'w')"
    assert run(stage("first", "print('one')"), stage("second", "raise SystemExit(3)"), stage("third", write)) == 3
    assert not file.exists()
    printed = capfd.readouterr().out
    assert printed.startswith("one\n")
    assert "times: first 0 s, second 0 s" in printed


def test_stages_in_the_background_run_at_the_same_time_and_are_printed_at_the_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(file)!r}).exists(): time.sleep(0.02)\n"
    write = f"open({str(file)!r}, 'w').close(); print('written')"
    background = (stage("later", write), stage("latest", "print('end')"))
    assert run(stage("first", f"{wait}print('waited')"), background=background) == 0
    printed = capfd.readouterr().out
    assert printed.index("waited") < printed.index("written") < printed.index("end")
    assert printed.rstrip().rpartition(", ")[2].startswith("latest ")


def test_a_stage_that_fails_in_the_background_fails_the_run() -> None:
    assert run(stage("first", ""), background=(stage("later", "raise SystemExit(4)"), stage("never", ""))) == 4


def test_a_stage_that_fails_ends_the_background_after_its_present_stage(tmp_path: Path) -> None:
    begun, file = tmp_path / "begun", tmp_path / "file"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(begun)!r}).exists(): time.sleep(0.02)\n"
    slow = f"open({str(begun)!r}, 'w').close(); import time; time.sleep(0.5)"
    never = stage("never", f"open({str(file)!r}, 'w')")
    assert run(stage("first", f"{wait}raise SystemExit(5)"), background=(stage("slow", slow), never)) == 5
    assert not file.exists()


def test_programs_in_the_background_have_a_low_priority() -> None:
    name = f"web-crawl-test-{uuid.uuid4().hex[:8]}"
    with low_priority(name) as prefix:
        others = Background([stage("nice", "import os; raise SystemExit(os.nice(0))")], prefix)
        others.start()
        assert others.finish() == 19
        if prefix[0] == "sh":
            read = f"raise SystemExit({name!r} not in open('/proc/self/cgroup').read())"
            others = Background([stage("group", read)], prefix)
            others.start()
            assert others.finish() == 0
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{name}"))


def test_the_tests_without_time_limits_are_there() -> None:
    for path in COMPUTING:
        assert (ROOT / path).exists(), path


def test_all_files_that_share_the_api_server_are_listed() -> None:
    files = {
        str(path.relative_to(ROOT / "tests/process"))
        for path in (ROOT / "tests/process/stack").rglob("test_*.py")
        if "server: ApiServer" in (text := path.read_text()) and "def server(" not in text and "running(" not in text
    }
    assert files == set(SHARING)
