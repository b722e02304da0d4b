"""Port-forwards through the API server, so that a check works from any machine."""

import contextlib
import functools
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import kubernetes
from kubernetes.stream import portforward

from contracts import metadata
from stack.errors import DeployError

_BYTES: Final = 65536
_END_SECONDS: Final = 5.0
_PODS: Final = 3
"""How many pods a connection is offered to."""


@contextlib.contextmanager
def forward(
    client: kubernetes.client.ApiClient, namespace: str, name: str, port: int, *, track: str | None = None
) -> Iterator[str]:
    """Forwards a local port to one ready pod of a workload while the context is open.

    If that pod ends, as in a deployment, the next connection goes to another one.

    Args:
        client: From `connect`.
        namespace: The stack's namespace.
        name: Name of the workload.
        port: Port of its pods.
        track: `stable`, `baseline` or `canary`; any if None.

    Yields:
        The base URL of the local port.

    Raises:
        DeployError: No pod of the workload is ready.
    """
    target = _Target(client, namespace, name, track)
    listener = socket.create_server(("127.0.0.1", 0))
    closing = threading.Event()

    def accept() -> None:
        while not closing.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(client, target, port, connection, closing), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone does not
        listener.close()
        thread.join(timeout=5)


class _Target:
    """The pod that connections go to."""

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str, name: str, track: str | None) -> None:
        self.namespace = namespace
        self._choose = functools.partial(_ready_pod, client, namespace, name, track)
        self._lock = threading.Lock()
        self._pod = self._choose()

    @property
    def pod(self) -> str:
        with self._lock:
            return self._pod

    def replace(self, pod: str) -> str | None:
        """Returns another ready pod in place of one that takes no connection; None if no other pod is ready."""
        with self._lock:
            if self._pod == pod:
                with contextlib.suppress(DeployError, kubernetes.client.ApiException):
                    self._pod = self._choose()
            return None if self._pod == pod else self._pod


def _ready_pod(client: kubernetes.client.ApiClient, namespace: str, name: str, track: str | None) -> str:
    labels = metadata.selector(name) | ({metadata.TRACK: track} if track else {})
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = kubernetes.client.CoreV1Api(client).list_namespaced_pod(namespace, label_selector=selector).items
    for pod in pods:
        conditions = {condition.type: condition.status for condition in pod.status.conditions or []}
        if conditions.get("Ready") == "True" and pod.metadata.deletion_timestamp is None:
            return str(pod.metadata.name)
    raise DeployError(
        f"none of the {len(pods)} pods of {name} is ready\n  look at: kubectl -n {namespace} describe pod -l {selector}"
    )


def _serve(
    client: kubernetes.client.ApiClient,
    target: _Target,
    port: int,
    connection: socket.socket,
    closing: threading.Event,
) -> None:
    """Copies bytes between one local connection and the pod. The client library gives the pod's end as a socket."""
    with connection, contextlib.suppress(OSError):
        if (remote := _connect(client, target, port)) is None:
            return
        try:
            remote.setblocking(True)
            ends = {connection: remote, remote: connection}
            while not closing.is_set():
                for source in select.select(list(ends), [], [], 0.5)[0]:
                    data = source.recv(_BYTES)
                    if not data:
                        return
                    ends[source].sendall(data)
        finally:
            end(remote)


def _connect(client: kubernetes.client.ApiClient, target: _Target, port: int) -> Any | None:
    """Opens a connection to the pod, or to another one if it has ended; None if no pod takes it."""
    core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(client.configuration))
    pod: str | None = target.pod
    for _ in range(_PODS):
        if pod is None:
            break
        try:
            tunnel = portforward(core.connect_get_namespaced_pod_portforward, pod, target.namespace, ports=str(port))
        except kubernetes.client.ApiException:
            pod = target.replace(pod)
        else:
            return tunnel.socket(port)
    return None


def end(remote: socket.socket) -> None:
    """Close one end of a pair of sockets in a way that the other end sees as an orderly end.

    A client that leaves early (a browser that opens another page) leaves bytes unread. If this end were closed with
    them, the thread of the client library, which reads from the other end, would get a connection reset, print a
    traceback, and never close its connection to the API server.
    """
    with contextlib.suppress(OSError), contextlib.closing(remote):
        remote.settimeout(_END_SECONDS)
        remote.shutdown(socket.SHUT_WR)
        while remote.recv(_BYTES):
            pass
