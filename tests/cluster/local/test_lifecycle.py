"""The real cluster, from nothing to nothing: with a workload, with damage, and with a look at what is left behind."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local import mounts, network, processes
from local.build import cluster_jobs
from local.cluster import Cluster
from local.failure import Failure
from local.jobs import Progress, run_jobs
from local.paths import HOME_VARIABLE, Home
from stack.polling import poll_until
from tests.support.own_cluster import ROOT, WORKLOADS, kubectl, load_probe, machine

PORT = 18080


def test_the_whole_life(home: Home) -> None:
    cluster = Cluster(home)
    progress = Progress("test", logs=home.logs)
    untouched = machine()

    # An `up` that is killed half-way is picked up by the next one.
    run_jobs(cluster_jobs(home)[:-1], logs=home.logs)  # packages and programs, if they are not there yet
    environment = os.environ | {HOME_VARIABLE: str(home.root)}
    script = "from local.cluster import Cluster; from local.jobs import Progress; Cluster().up(Progress('up'))"
    killed = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment)
    poll_until("a process of the cluster", lambda: processes.find(home.run), seconds=60)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    cluster.up(progress)
    assert cluster.status().is_up

    # Up again is a look and no more.
    running = components(home)
    began = time.monotonic()
    cluster.up(progress)
    assert time.monotonic() - began < 2
    assert components(home) == running

    # A workload under PodSecurity `restricted`: volume, service, DNS, port-forward.
    load_probe(cluster, progress, home)
    kubectl(home, "apply", "-f", str(WORKLOADS / "workload.yaml"))
    kubectl(home, "rollout", "status", "deployment/probe", "--namespace=probe", "--timeout=90s")
    with forwarded(home):
        poll_until("the workload to answer", lambda: get("/") == "kept", seconds=10)
        for _ in range(4):  # two pods: by name, through the service's address, to each other and to themselves
            poll_until("a call through DNS", lambda: (get("/call?host=probe") or "").endswith("kept"), seconds=20)

    # What dies is replaced, and pods live on.
    for component in ("node1/kubelet", "apiserver", "etcd", "node1/containerd"):
        processes.stop(home.run, [component], leaders=True)
        assert cluster.status().components[component] == "dead"
        cluster.up(progress)
        assert cluster.status().is_up, component
    with forwarded(home):
        poll_until("the workload to answer", lambda: get("/") == "kept", seconds=20)

    # Nothing is left, and images are still there the next time.
    shown = set(machine()["links"]) - set(untouched["links"])
    assert shown, "a bridge should be there while it is up"
    cluster.down(progress)
    assert processes.find(home.run) == []
    assert mounts.below(home.run) == []
    assert not home.run.exists()
    assert machine() == untouched
    with pytest.raises(Failure, match="down"):
        cluster.containerds()
    cluster.up(progress)
    assert cluster.containerds()["node1"].has("localhost/probe:1")
    cluster.down(progress)
    assert machine() == untouched
    cluster.down(progress)  # nothing to do is no failure


def test_state_from_before_a_reboot_is_not_trusted(home: Home) -> None:
    cluster = Cluster(home)
    progress = Progress("test", logs=home.logs)
    run_jobs(cluster_jobs(home), logs=home.logs)
    file = home.root / "before.json"
    file.write_text(file.read_text().replace(network.boot_id(), "an-earlier-boot"))
    marker = home.node("node1") / "volumes" / "1" / "marker"
    marker.touch()
    cluster.up(progress)
    assert not marker.exists()
    assert cluster.status().is_up


def components(home: Home) -> dict[int, str]:
    """The components by their process ids. Not their children: they call iptables and the like whenever they please."""
    return {process.pid: process.component for process in processes.find(home.run) if process.leads}


@contextmanager
def forwarded(home: Home) -> Iterator[None]:
    environment = os.environ | {HOME_VARIABLE: str(home.root)}
    command = ["kubectl", "port-forward", "--namespace=probe", "service/probe", f"{PORT}:8080"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "cluster", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def get(path: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=6) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None
