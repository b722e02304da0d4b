"""Runs the deletion in a pod of the task-manager, which has access to the database and to Kafka."""

import json
from typing import Any, Final

import kubernetes
from kubernetes.stream import stream

from contracts.metadata import selector
from contracts.services import TASK_MANAGER
from stack.errors import DeployError
from stack.kubernetes.client import REQUEST_SECONDS

_COMMAND: Final = ("python3", "-m", "service.task_manager.forget")
_SECONDS: Final = 300
"""Limit of the deletion: without an index, Postgres reads all tasks."""


def forget_in_pod(client: kubernetes.client.ApiClient, namespace: str, address: str) -> dict[str, Any]:
    """Returns what was deleted and what remains; the address goes through standard input.

    Raises:
        DeployError: no pod is ready, or the deletion failed.
    """
    # `stream` changes the client that it is given.
    core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(client.configuration))
    labels = ",".join(f"{key}={value}" for key, value in selector(TASK_MANAGER).items())
    pods = core.list_namespaced_pod(namespace, label_selector=labels, _request_timeout=REQUEST_SECONDS).items
    pod = next((pod.metadata.name for pod in pods if _is_ready(pod)), None)
    if pod is None:
        raise DeployError(f"no pod of {TASK_MANAGER} in {namespace} is ready; nothing was deleted")
    try:
        output, errors = _execute(core, namespace, pod, f"{address}\n")
    except kubernetes.client.ApiException as error:
        raise DeployError(f"pod {pod} runs no command: {error.reason}; nothing was deleted") from None
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        reason = errors.strip().rpartition("\n")[2] or f"no answer within {_SECONDS} s"
        raise DeployError(f"pod {pod}: {reason}") from None
    return answer


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or []
    return pod.metadata.deletion_timestamp is None and any(
        item.type == "Ready" and item.status == "True" for item in conditions
    )


def _execute(core: kubernetes.client.CoreV1Api, namespace: str, pod: str, line: str) -> tuple[str, str]:
    socket = stream(
        core.connect_get_namespaced_pod_exec,
        pod,
        namespace,
        container=TASK_MANAGER,
        command=list(_COMMAND),
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    socket.write_stdin(line)
    socket.run_forever(timeout=_SECONDS)
    output, errors = socket.read_stdout(timeout=1), socket.read_stderr(timeout=1)
    socket.close()
    return output, errors
