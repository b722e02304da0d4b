"""Processes are known by what they are, so a stranger is never ended and none of ours is overlooked."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import processes
from stack.polling import poll_until


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.stop(tmp_path)


def start(run: Path, component: str, *command: str) -> None:
    processes.start(run, component, "print", command, run / "logs" / f"{component}.log")
    poll_until(
        f"{component} to start",
        # `setsid` forks first, and the child leads a session a moment later.
        lambda: component in {process.component for process in processes.find(run) if process.leads},
        every=0.01,
    )


def test_a_component_is_found_with_what_it_was_started_with(run: Path) -> None:
    start(run, "etcd", "sleep", "1000")
    (process,) = processes.find(run)
    assert (process.component, process.fingerprint, process.leads) == ("etcd", "print", True)
    assert processes.stop(run) == []
    assert processes.find(run) == []


def test_children_are_found_and_ended_but_do_not_lead(run: Path) -> None:
    start(run, "containerd", "sh", "-c", "sleep 1000 & sleep 1000 & wait")
    poll_until("two children", lambda: len(processes.find(run)) == 3, every=0.01)
    running = processes.find(run)
    assert sorted(process.leads for process in running) == [False, False, True]
    assert processes.stop(run, ["containerd"], leaders=True) == []
    assert [process.leads for process in processes.find(run)] == [False, False]
    assert processes.stop(run) == []


def test_one_that_ignores_sigterm_is_killed(run: Path) -> None:
    start(run, "etcd", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    poll_until("a child, which starts after the trap is set", lambda: len(processes.find(run)) > 1, every=0.01)
    assert processes.stop(run, grace=0.3) == []


def test_only_the_named_components_are_ended(run: Path) -> None:
    start(run, "etcd", "sleep", "1000")
    start(run, "kubelet", "sleep", "1000")
    processes.stop(run, ["etcd"])
    assert [process.component for process in processes.find(run)] == ["kubelet"]


def test_another_clusters_process_and_a_stranger_are_not_ours(
    run: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    start(other, "etcd", "sleep", "1000")
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        assert processes.find(run) == []
        assert processes.stop(run) == []
        assert stranger.poll() is None
        assert len(processes.find(other)) == 1
    finally:
        stranger.kill()
        stranger.wait()
        processes.stop(other)


def test_a_number_that_passed_to_a_stranger_is_not_signalled(run: Path) -> None:
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        stale = processes.Process(pid=stranger.pid, component="etcd", fingerprint="", leads=True)
        processes._signal(run, stale, signal.SIGKILL)
        time.sleep(0.1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_component_does_not_depend_on_the_shell_it_was_started_from() -> None:
    environment = processes.clean_environment({"PATH": "/bin", "HTTPS_PROXY": "p", "KUBECONFIG": "x", "GODEBUG": "y"})
    assert environment == {"PATH": "/bin", "HTTPS_PROXY": "p"}
