"""One rollout under load: its output, how long the new version was exposed, and how many requests failed."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes
import yaml

from checks.chaos.cluster import LocalCluster
from checks.harness.traffic import Failure, Traffic
from contracts import endpoints
from contracts.services import GATEWAY, SERVICES
from stack.kubernetes.client import connect
from stack.settings import OVERLAY, PROJECT, ROOT, Settings, load

RATE: Final = 20.0
STAGES: Final = [{"share": 0.25, "soakSeconds": 20}, {"share": 0.5, "soakSeconds": 20}, {"share": 1, "soakSeconds": 20}]
# A wide margin, so that a stage of some seconds has enough operations for a verdict.
GATE: Final = {"errorMargin": 0.02, "patienceSeconds": 300}
_LIMIT_SECONDS: Final = 900.0
_END_SECONDS: Final = 20.0
"""Time in which an interrupted rollout ends by itself, and then after each signal."""
_CANARIES: Final = {endpoints.track(name, "canary") for name in SERVICES}


@contextlib.contextmanager
def changed_settings(**sections: Mapping[str, Any]) -> Iterator[Settings]:
    """Changes sections of the local stack's settings while the context is open. Deploys nothing."""
    overlay = ROOT / OVERLAY
    original = overlay.read_text()
    document = yaml.safe_load(original)
    for section, values in sections.items():
        key = f"{PROJECT}:{section}"
        document["config"][key] = {**document["config"].get(key, {}), **values}
    overlay.write_text(yaml.safe_dump(document))
    try:
        yield load("local")
    finally:
        overlay.write_text(original)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one rollout."""

    code: int
    """Its exit code."""
    output: str
    report: str
    exposed_seconds: float
    """How long the new version had a ready pod."""
    requests: int
    """The number of requests."""
    failures: Sequence[Failure]
    """The requests that failed."""


class Exposure:
    """Measures how long a new version has ready pods."""

    def __init__(self, settings: Settings) -> None:
        self._apps = kubernetes.client.AppsV1Api(connect(settings.cluster))
        self._namespace = settings.cluster.namespace
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seconds = 0.0

    def __enter__(self) -> "Exposure":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        previous = time.monotonic()
        while not self._ended.wait(0.25):
            now = time.monotonic()
            with contextlib.suppress(Exception):
                deployments = self._apps.list_namespaced_deployment(self._namespace, _request_timeout=5).items
                if any(item.metadata.name in _CANARIES and item.status.ready_replicas for item in deployments):
                    self.seconds += now - previous
            previous = now


def start_rollout(*arguments: str) -> subprocess.Popen[str]:
    """Starts `./wct rollout local`."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "rollout", "local", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def rollout(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Starts `./wct rollout local`; its process has ended when the context is left, also if the check is interrupted.

    Two rollouts at once are refused, and so would be the one that brings the stack back.
    """
    process = start_rollout(*arguments)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process, unless it ends by itself: Ctrl-C reaches all processes of a terminal."""
    for act in (process.poll, process.terminate, process.kill):
        act()
        if process.returncode is not None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_END_SECONDS)


def wait_for(process: subprocess.Popen[str], seconds: float = _LIMIT_SECONDS) -> tuple[int, str]:
    """Returns the exit code and output of a process; kills it if it does not end within the time."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"the rollout did not end within {seconds:.0f} s:\n{output}") from None
    return process.returncode, output


def run(*, kill_after: float | None = None) -> Outcome:
    """Rolls the version of the settings out under load.

    Args:
        kill_after: seconds after which the rollout is killed with SIGKILL, and run again.
    """
    settings = load("local")
    cluster = LocalCluster(settings)
    gateway = f"http://{cluster.address(GATEWAY)}:{endpoints.SERVICE_PORT}"
    report = Path(".local/rollout-test.md")
    report.unlink(missing_ok=True)
    with Traffic(gateway, RATE, keep=False, key=cluster.stack_key()) as traffic, Exposure(settings) as exposure:
        if kill_after is not None:
            with rollout("--report", str(report)) as killed:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    killed.wait(kill_after)
                killed.kill()
                killed.communicate()
        with rollout("--report", str(report)) as process:
            code, output = wait_for(process)
    return Outcome(
        code=code,
        output=output,
        report=report.read_text() if report.is_file() else "",
        exposed_seconds=exposure.seconds,
        requests=sum(traffic.answers.values()),
        failures=traffic.failures,
    )
