"""What the matrix of connections needs of the cluster: running pods, Services without a ready pod, commands in pods."""

from collections.abc import Sequence
from typing import Any, Final

import kubernetes
from kubernetes.stream import stream

from contracts import endpoints
from contracts.metadata import PART_OF
from contracts.services import SERVICES
from stack.connections.connections import Source
from stack.kubernetes.client import REQUEST_SECONDS

_PROGRAMS: Final = (*SERVICES, endpoints.PROBE)
"""The programs whose image has Python. The probe is the caller of the gateway, and reads all stores."""
_PART: Final = f"app.kubernetes.io/part-of={PART_OF}"
_SERVICE_NAME: Final = "kubernetes.io/service-name"
_SECONDS: Final = 15
"""Limit of one command in a pod."""


def sources(client: kubernetes.client.ApiClient, namespace: str) -> list[Source]:
    """The running pods of the services and the probe, in the order of a request; canaries too."""
    core = kubernetes.client.CoreV1Api(client)
    pods = core.list_namespaced_pod(namespace, label_selector=_PART, _request_timeout=REQUEST_SECONDS).items
    running = [pod for pod in pods if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None]
    items = [(program, pod) for program in _PROGRAMS for pod in running if pod.spec.containers[0].name == program]
    return [_source(program, pod) for program, pod in items]


def _source(program: str, pod: Any) -> Source:
    variables = pod.spec.containers[0].env or []
    return Source(
        pod=pod.metadata.name,
        container=program,
        environment={variable.name: variable.value for variable in variables if variable.value},
    )


def services_without_pods(client: kubernetes.client.ApiClient, namespace: str) -> frozenset[str]:
    """The Services of the stack that have no ready pod."""
    core = kubernetes.client.CoreV1Api(client)
    services = core.list_namespaced_service(namespace, label_selector=_PART, _request_timeout=REQUEST_SECONDS).items
    discovery = kubernetes.client.DiscoveryV1Api(client)
    slices = discovery.list_namespaced_endpoint_slice(namespace, _request_timeout=REQUEST_SECONDS).items
    ready = {
        (item.metadata.labels or {}).get(_SERVICE_NAME)
        for item in slices
        if any(endpoint.conditions.ready for endpoint in item.endpoints or [])
    }
    return frozenset(service.metadata.name for service in services) - ready


class Pods:
    """Runs commands in pods."""

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str) -> None:
        self._configuration = client.configuration
        self._namespace = namespace

    def execute(self, source: Source, command: Sequence[str]) -> str:
        """Runs a command, and returns what it writes to standard output.

        Raises:
            OSError: the pod does not run it, or does not end in time.
        """
        # `stream` changes the client that it is given.
        core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(self._configuration))
        try:
            socket = stream(
                core.connect_get_namespaced_pod_exec,
                source.pod,
                self._namespace,
                container=source.container,
                command=list(command),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _preload_content=False,
                _request_timeout=_SECONDS,
            )
            socket.run_forever(timeout=_SECONDS)
            output: str = socket.read_stdout(timeout=1)
            errors: str = socket.read_stderr(timeout=1) if not output else ""
            socket.close()
        except kubernetes.client.ApiException as error:
            raise OSError(str(error.reason)) from None
        if not output:
            raise OSError(errors.strip().rpartition("\n")[2] or f"no answer within {_SECONDS} s")
        return output
