"""The controller of Argo Rollouts as a process, where it is on PATH."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kubernetes

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from tests.support.foreign_kinds import installed_kinds
from tests.support.programs import require_program


@contextmanager
def rollouts_controller(client: kubernetes.client.ApiClient, kubeconfig: str | Path, directory: Path) -> Iterator[None]:
    """Create its kinds and run it; the test is skipped if the program or the kinds are missing."""
    program, health, metrics = require_program("rollouts-controller"), free_port(), free_port()
    command: list[str | Path] = [program, f"--kubeconfig={kubeconfig}", "--leader-elect=false"]
    command += [f"--healthzPort={health}", f"--metricsPort={metrics}"]
    controller = ServerProcess(
        "argo-rollouts", command, directory, lambda: answers(f"http://127.0.0.1:{health}/healthz"), os.environ
    )
    with installed_kinds(client, {"argoproj.io"}):
        try:
            controller.start()
            yield
        finally:
            controller.kill()
