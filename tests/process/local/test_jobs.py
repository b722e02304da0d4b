"""The job runner: order, progress, failure, cancellation, and no child left behind."""

import io
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from local.failure import Failure
from local.jobs import Cancelled, Cores, Job, Progress, run_jobs
from stack.polling import poll_until


def run(jobs: list[Job], logs: Path) -> str:
    output = io.StringIO()
    run_jobs(jobs, logs=logs, output=output)
    return output.getvalue()


def nothing(_: Progress) -> None:
    pass


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_job_starts_when_what_it_needs_is_done(tmp_path: Path) -> None:
    order: list[str] = []
    jobs = [
        Job("last", lambda _: order.append("last"), needs=("first", "second")),
        Job("second", lambda _: order.append("second"), needs=("first",)),
        Job("first", lambda _: order.append("first")),
    ]
    output = run(jobs, tmp_path)
    assert order == ["first", "second", "last"]
    assert "[first] started" in output
    assert "[last] done in" in output


def test_a_terminal_gets_a_table_of_all_jobs(tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    output = Terminal()

    def job(progress: Progress) -> None:
        progress.step("compiling")
        progress.note("a note to keep")

    run_jobs([Job("first", job), Job("second", nothing, needs=("first",))], logs=tmp_path, output=output)
    shown = output.getvalue()
    assert all(word in shown for word in ("first", "second", "a note to keep", "\u2713"))


def test_independent_jobs_run_side_by_side(tmp_path: Path) -> None:
    meet = threading.Barrier(2, timeout=60)  # breaks unless both get there

    def job(_: Progress) -> None:
        meet.wait()

    run([Job("a", job), Job("b", job)], tmp_path)


def test_jobs_that_need_the_cores_run_one_at_a_time(tmp_path: Path) -> None:
    done: list[str] = []
    busy = threading.Lock()

    def work(progress: Progress) -> None:
        assert busy.acquire(blocking=False), "two at once"
        done.append(progress.name)
        busy.release()

    run([Job(name, work, cores=True) for name in ("a", "b", "c")], tmp_path)
    assert sorted(done) == ["a", "b", "c"]


def test_jobs_get_the_cores_in_list_order() -> None:
    cores = Cores()
    order: list[int] = []
    cores.acquire(0, lambda: None)

    def work(rank: int) -> None:
        cores.acquire(rank, lambda: None)
        order.append(rank)
        cores.release()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (3, 1, 2)]
    for thread in threads:
        thread.start()
    poll_until("three jobs to wait for cores", lambda: len(cores._waiting) == 3, every=0.01)
    cores.release()
    for thread in threads:
        thread.join(10)
    assert order == [1, 2, 3]


def test_a_failure_names_job_reason_and_log_and_stops_the_rest(tmp_path: Path) -> None:
    children: list[int] = []

    def broken(progress: Progress) -> None:
        poll_until("a child", lambda: bool(children), every=0.01)
        progress.run([sys.executable, "-c", "print('it is the disk'); raise SystemExit(3)"])

    def endless(progress: Progress) -> None:
        # A grandchild in a shell: what a cancelled build must not leave behind.
        progress.run(["sh", "-c", "sleep 1000 & echo $!; wait"], on_line=lambda line: children.append(int(line)))

    never: list[str] = []
    jobs = [
        Job("broken", broken),
        Job("endless", endless),
        Job("never", lambda _: never.append("x"), needs=("broken",)),
    ]
    with pytest.raises(Failure) as failure:
        run(jobs, tmp_path)
    message = str(failure.value)
    assert message.startswith("broken: ")
    assert "exit code 3" in message
    assert "it is the disk" in message
    assert str(tmp_path / "broken.log") in message
    assert not never
    poll_until("the child to end", lambda: not alive(children[0]), every=0.01)


def test_an_unexpected_exception_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    def bug(_: Progress) -> None:
        raise KeyError("oops")

    with pytest.raises(Failure, match="bug: KeyError"):
        run([Job("bug", bug)], tmp_path)
    assert "Traceback" in (tmp_path / "bug.log").read_text()


def test_an_interrupt_ends_children(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import signal, sys\nfrom pathlib import Path\nfrom local.jobs import Job, run_jobs\n"
        # A shell that starts the tests in the background has it ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def job(progress):\n"
        "    progress.run(['sh', '-c', 'sleep 1000 & echo $!; wait'], on_line=lambda line: print(line, flush=True))\n"
        "try:\n    run_jobs([Job('job', job)], logs=Path(sys.argv[1]), output=sys.stderr)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, program, tmp_path],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        child = int(process.stdout.readline())
        assert alive(child)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(15) == 130
        finally:
            process.kill()
    poll_until("the child to end", lambda: not alive(child), every=0.01)


def test_a_command_has_a_time_limit(tmp_path: Path) -> None:
    progress = Progress("slow", logs=tmp_path)
    began = time.monotonic()
    with pytest.raises(Failure, match="did not end within 0 s"):
        progress.run(["sleep", "1000"], timeout=0.2)
    assert time.monotonic() - began < 60


def test_a_missing_program_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot run no-such-program"):
        Progress("x", logs=tmp_path).run(["no-such-program"])


def test_a_wait_names_what_it_waited_for_and_quotes_the_log(tmp_path: Path) -> None:
    log = tmp_path / "kubelet.log"
    log.write_text("no space left\n")
    with pytest.raises(Failure, match=r"timed out after 0 s waiting for the moon\.\n  \| no space left"):
        Progress("x", logs=tmp_path).wait("the moon", lambda: False, timeout=0.1, log=log)


def test_a_cancelled_job_raises_at_its_next_step(tmp_path: Path) -> None:
    progress = Progress("x", logs=tmp_path)
    progress.cancel()
    with pytest.raises(Cancelled):
        progress.step("on")
    with pytest.raises(Cancelled):
        progress.sleep(1000)


@pytest.mark.parametrize(
    ("jobs", "complaint"),
    [
        ([Job("a", nothing), Job("a", nothing)], "not unique"),
        ([Job("a", nothing, needs=("b",))], "not in the list"),
        ([Job("a", nothing, needs=("b",)), Job("b", nothing, needs=("a",))], "circle"),
    ],
)
def test_a_wrong_graph_is_refused_before_anything_runs(jobs: list[Job], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        run(jobs, tmp_path)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_job_that_ends_its_thread_is_a_failure_and_the_run_ends(tmp_path: Path, error: type[BaseException]) -> None:
    def leave(_: Progress) -> None:
        raise error("enough")

    with pytest.raises(Failure, match=r"leaves: .*enough"):
        run([Job("leaves", leave), Job("after", nothing, needs=("leaves",))], tmp_path)


def test_a_failure_is_reported_if_its_log_cannot_be_written(tmp_path: Path) -> None:
    def fail(progress: Progress) -> None:
        progress.log.parent.mkdir(parents=True, exist_ok=True)
        progress.log.mkdir()
        raise RuntimeError("for this reason")

    with pytest.raises(Failure, match="for this reason"):
        run([Job("fails", fail)], tmp_path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_closed_output_ends_the_run_and_does_not_hang_it(tmp_path: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            if "done" in text:
                raise BrokenPipeError
            return len(text)

    began = time.monotonic()
    run_jobs([Job("first", nothing), Job("second", nothing, needs=("first",))], logs=tmp_path, output=Gone())
    assert time.monotonic() - began < 60
    # Their threads end with the error, which would else be a warning of a later test.
    for thread in threading.enumerate():
        if thread.name in ("first", "second"):
            thread.join()
