"""Port-forwards through the API server, so that a check works wherever the cluster is."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

import kubernetes
from kubernetes.stream import portforward

from contracts import metadata
from stack.kubernetes.apply import DeployError


@contextlib.contextmanager
def forward(
    client: kubernetes.client.ApiClient, namespace: str, name: str, port: int, *, track: str | None = None
) -> Iterator[str]:
    """Base URL under which a port of one ready pod of the workload `name` is reached while the context is open.

    Args:
        client: from `connect`.
        namespace: the stack's.
        name: of the workload.
        port: of its pods.
        track: the version, where two of them run side by side; either one if None.

    Raises:
        DeployError: no pod of that name is ready.
    """
    pod = _ready_pod(client, namespace, name, track)
    listener = socket.create_server(("127.0.0.1", 0))
    closing = threading.Event()

    def accept() -> None:
        while not closing.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(
                target=_serve, args=(client, namespace, pod, port, connection, closing), daemon=True
            ).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone does not
        listener.close()
        thread.join(timeout=5)


def _ready_pod(client: kubernetes.client.ApiClient, namespace: str, name: str, track: str | None) -> str:
    labels = metadata.selector(name) | ({metadata.TRACK: track} if track else {})
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = kubernetes.client.CoreV1Api(client).list_namespaced_pod(namespace, label_selector=selector).items
    for pod in pods:
        conditions = {condition.type: condition.status for condition in pod.status.conditions or []}
        if conditions.get("Ready") == "True" and pod.metadata.deletion_timestamp is None:
            return str(pod.metadata.name)
    raise DeployError(
        f"no pod of {name} is ready ({len(pods)} there)\n  look at: kubectl -n {namespace} describe pod -l {selector}"
    )


def _serve(
    client: kubernetes.client.ApiClient,
    namespace: str,
    pod: str,
    port: int,
    connection: socket.socket,
    closing: threading.Event,
) -> None:
    """Carries one connection. The client library gives the far end as a socket."""
    core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(client.configuration))
    with connection, contextlib.suppress(OSError):
        tunnel = portforward(core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        far = tunnel.socket(port)
        try:
            far.setblocking(True)
            ends = {connection: far, far: connection}
            while not closing.is_set():
                for source in select.select(list(ends), [], [], 0.5)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    ends[source].sendall(data)
        finally:
            far.close()
