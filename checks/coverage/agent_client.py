"""Starts the agent, in a pod next to the services or in a process of this machine, and sends it commands."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import kubernetes
from kubernetes.stream import stream

from checks.coverage.ledger import LedgerError
from checks.harness.admitted import admitted
from contracts.services import TASK_MANAGER
from stack.polling import CheckFailure, poll_until

POD: Final = "coverage-ledger"
_LABELS: Final = {"app.kubernetes.io/name": POD}
# If this program is killed, the cluster ends the pod after this time.
_POD_SECONDS: Final = 3 * 3600
_START_SECONDS: Final = 90.0
_ANSWER_SECONDS: Final = 60.0
_SOURCE: Final = Path(__file__).with_name("agent.py")
# The program is sent on stdin: it is longer than the command of a pod may be.
_COMMAND: Final = [
    "python3",
    "-c",
    "import json, sys; exec(compile(json.loads(sys.stdin.readline()), 'agent', 'exec'))",
]


class _Channel(Protocol):
    """Carries lines to the agent and back; lines without their end."""

    def write(self, line: str) -> None:
        """Sends a line."""

    def read(self, seconds: float) -> str:
        """Returns the next line; "" if none arrives in time."""


class AgentClient:
    """Sends commands to the agent; see `checks.coverage.run.Agent`."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._channel.write(json.dumps(_SOURCE.read_text()))
        self._read()

    def execute(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a command and returns the answer.

        Raises:
            LedgerError: the agent does not answer, or the command failed.
        """
        with self._lock:
            self._channel.write(json.dumps({"command": command, "arguments": arguments}))
            answer = self._read()
        if "error" in answer:
            raise LedgerError(f"{command}: {answer['error']}")
        return answer

    def _read(self) -> dict[str, Any]:
        line = self._channel.read(_ANSWER_SECONDS)
        if not line:
            raise LedgerError(f"the agent does not answer within {_ANSWER_SECONDS:g} s")
        answer: dict[str, Any] = json.loads(line)
        return answer


class _ProcessChannel:
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
def run_in_process(environment: Mapping[str, str]) -> Iterator[AgentClient]:
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
            yield AgentClient(_ProcessChannel(process))
        finally:
            process.kill()


class _PodChannel:
    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def write(self, line: str) -> None:
        self._socket.write_stdin(line + "\n")

    def read(self, seconds: float) -> str:
        line: str = self._socket.readline_stdout(timeout=seconds)
        if not line:
            errors = self._socket.read_stderr(timeout=1)
            raise LedgerError(f"the agent in pod {POD} does not answer; its stderr: {errors}")
        return line


@contextlib.contextmanager
def run_in_pod(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[AgentClient]:
    """Runs the agent in a pod with the image, the environment and the rights of the task-manager's pods.

    Raises:
        LedgerError: the pod does not start.
    """
    core = kubernetes.client.CoreV1Api(client)
    _remove(core, namespace)
    labels = {"matchLabels": _LABELS}
    with admitted(client, namespace, POD, {"podSelector": labels}, sender=labels):
        core.create_namespaced_pod(namespace, _pod(client, namespace))
        yield from _agent(client, core, namespace)


def _agent(
    client: kubernetes.client.ApiClient, core: kubernetes.client.CoreV1Api, namespace: str
) -> Iterator[AgentClient]:
    try:
        _wait(f"pod {POD} to run", lambda: core.read_namespaced_pod(POD, namespace).status.phase == "Running")
        # `stream` changes the client that it is given.
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
            yield AgentClient(_PodChannel(socket))
        finally:
            socket.close()
    finally:
        _remove(core, namespace)


def _pod(client: kubernetes.client.ApiClient, namespace: str) -> dict[str, Any]:
    deployment = kubernetes.client.AppsV1Api(client).read_namespaced_deployment(TASK_MANAGER, namespace)
    spec: dict[str, Any] = client.sanitize_for_serialization(deployment.spec.template.spec)
    (container,) = spec["containers"]
    spec.pop("initContainers", None)
    for field in ("readinessProbe", "livenessProbe", "startupProbe", "ports", "args", "lifecycle"):
        container.pop(field, None)
    container["command"] = ["python3", "-c", f"import time; time.sleep({_POD_SECONDS})"]
    # A short grace period, since `sleep` as process 1 ignores SIGTERM.
    spec |= {"restartPolicy": "Never", "activeDeadlineSeconds": _POD_SECONDS, "terminationGracePeriodSeconds": 1}
    # None of the stack's labels, so that no Service sends it requests and no Deployment counts it.
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "labels": _LABELS}, "spec": spec}


def _remove(core: kubernetes.client.CoreV1Api, namespace: str) -> None:
    def is_removed() -> bool:
        try:
            core.delete_namespaced_pod(POD, namespace, grace_period_seconds=1)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return True
            raise
        return False

    _wait(f"pod {POD} to be deleted", is_removed)


def _wait(what: str, probe: Any) -> None:
    try:
        poll_until(what, probe, seconds=_START_SECONDS, every=0.5)
    except CheckFailure as failure:
        raise LedgerError(str(failure)) from None
