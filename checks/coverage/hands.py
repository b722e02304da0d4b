"""Where the agent runs: in a pod beside the services, or in a process beside this one."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import kubernetes
from kubernetes.stream import stream

from checks.coverage.run import LedgerError
from contracts import endpoints

POD: Final = "coverage-ledger"
# The cluster ends the pod by itself, should nobody be left to do it.
_POD_SECONDS: Final = 3 * 3600
_START_SECONDS: Final = 90.0
_ANSWER_SECONDS: Final = 60.0
_SOURCE: Final = Path(__file__).with_name("agent.py")
# The program comes on stdin: it is longer than a command of a pod may be.
_COMMAND: Final = [
    "python3",
    "-c",
    "import json, sys; exec(compile(json.loads(sys.stdin.readline()), 'agent', 'exec'))",
]


class _Line(Protocol):
    """A way to the agent; lines without their end."""

    def write(self, line: str) -> None:
        """Sends one."""

    def read(self, seconds: float) -> str:
        """The next one; "" when there is none in time."""


class Agent:
    """The agent at the other end of a line."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._line.write(json.dumps(_SOURCE.read_text()))
        self._read()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """See `Hands`."""
        with self._lock:
            self._line.write(json.dumps({"do": do, **arguments}))
            answer = self._read()
        if "error" in answer:
            raise LedgerError(f"{do}: {answer['error']}")
        return answer

    def _read(self) -> dict[str, Any]:
        said = self._line.read(_ANSWER_SECONDS)
        if not said:
            raise LedgerError(f"the agent does not answer within {_ANSWER_SECONDS:g} s")
        answer: dict[str, Any] = json.loads(said)
        return answer


class _ProcessLine:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def read(self, seconds: float) -> str:
        assert self._process.stdout is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            return self._process.stdout.readline()
        finally:
            timer.cancel()


@contextlib.contextmanager
def in_process(environment: Mapping[str, str]) -> Iterator[Agent]:
    """Runs the agent on this machine; the environment names Kafka and the database."""
    process = subprocess.Popen(
        [sys.executable, *_COMMAND[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(environment),
    )
    with process:
        try:
            yield Agent(_ProcessLine(process))
        finally:
            process.kill()


class _PodLine:
    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def write(self, line: str) -> None:
        self._socket.write_stdin(line + "\n")

    def read(self, seconds: float) -> str:
        said: str = self._socket.readline_stdout(timeout=seconds)
        if not said:
            raise LedgerError(f"the agent in pod {POD} is silent; on stderr: {self._socket.read_stderr(timeout=1)}")
        return said


@contextlib.contextmanager
def in_pod(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[Agent]:
    """Runs the agent in a pod made as the task-manager's are: its image, its environment, its rights, no more.

    Raises LedgerError: the pod does not start.
    """
    core = kubernetes.client.CoreV1Api(client)
    _remove(core, namespace)
    core.create_namespaced_pod(namespace, _pod(client, namespace))
    try:
        _await(lambda: core.read_namespaced_pod(POD, namespace).status.phase == "Running", f"pod {POD} to run")
        # A client of its own: the stream changes the one it is given.
        own = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(client.configuration))
        socket = stream(
            own.connect_get_namespaced_pod_exec,
            POD,
            namespace,
            command=_COMMAND,
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        try:
            yield Agent(_PodLine(socket))
        finally:
            socket.close()
    finally:
        _remove(core, namespace)


def _pod(client: kubernetes.client.ApiClient, namespace: str) -> dict[str, Any]:
    deployment = kubernetes.client.AppsV1Api(client).read_namespaced_deployment(endpoints.TASK_MANAGER, namespace)
    spec: dict[str, Any] = client.sanitize_for_serialization(deployment.spec.template.spec)
    (container,) = spec["containers"]
    spec.pop("initContainers", None)
    for name in ("readinessProbe", "livenessProbe", "startupProbe", "ports", "args", "lifecycle"):
        container.pop(name, None)
    container["command"] = ["python3", "-c", f"import time; time.sleep({_POD_SECONDS})"]
    # Ends at once: sleep answers no signal as process 1.
    spec |= {"restartPolicy": "Never", "activeDeadlineSeconds": _POD_SECONDS, "terminationGracePeriodSeconds": 1}
    # No labels: no Service may send it requests, and no Deployment count it.
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}


def _remove(core: kubernetes.client.CoreV1Api, namespace: str) -> None:
    def gone() -> bool:
        try:
            core.delete_namespaced_pod(POD, namespace, grace_period_seconds=1)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return True
            raise
        return False

    _await(gone, f"pod {POD} to be gone")


def _await(reached: Any, what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise LedgerError(f"waited {_START_SECONDS:g} s for {what}")
        time.sleep(0.5)
