"""The ends of a port-forward's connections are orderly, so that the client library's thread ends without an error."""

import socket
import threading
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest
from kubernetes.stream.ws_client import PortForward

from stack.kubernetes import port_forward
from stack.kubernetes.port_forward import end


class WebSocket:
    """A connection to the API server on which nothing comes."""

    def __init__(self) -> None:
        self.sock, self._server = socket.socketpair()
        self.connected = True

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.connected = False
        self.sock.close()
        self._server.close()


def test_a_client_that_leaves_bytes_unread_does_not_reset_the_librarys_connection() -> None:
    errors: list[type[BaseException]] = []
    previous = threading.excepthook
    threading.excepthook = lambda thrown: errors.append(thrown.exc_type)
    try:
        websocket = WebSocket()
        tunnel = PortForward(websocket, [3000])
        (thread,) = (one for one in threading.enumerate() if one.name.startswith("Kubernetes port forward proxy"))
        tunnel.local_ports[3000].python.sendall(b"an answer that is not read")
        end(tunnel.socket(3000))
        thread.join(timeout=5)
    finally:
        threading.excepthook = previous
    assert not thread.is_alive()
    assert errors == []
    assert not websocket.connected, "the connection to the API server is closed, too"


def test_an_end_without_a_peer_is_no_error() -> None:
    here, there = socket.socketpair()
    there.sendall(b"unread")
    there.close()
    end(here)
    assert here.fileno() == -1


def test_a_connection_goes_to_another_pod_if_its_pod_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ready, asked = ["first"], []

    def open_tunnel(_: object, pod: str, namespace: str, ports: str) -> Any:
        asked.append(pod)
        if pod not in ready:
            raise kubernetes.client.ApiException(status=404)
        return SimpleNamespace(socket=lambda port: f"{pod}:{port}")

    monkeypatch.setattr(port_forward, "portforward", open_tunnel)
    monkeypatch.setattr(port_forward, "_ready_pod", lambda *_: ready[0])
    client = kubernetes.client.ApiClient()
    target = port_forward._Target(client, "tracing", "gateway", None)
    assert port_forward._connect(client, target, 80) == "first:80"
    ready[:] = ["second"]
    assert port_forward._connect(client, target, 80) == "second:80"
    # The next connection asks the new pod at once.
    assert port_forward._connect(client, target, 80) == "second:80"
    assert asked == ["first", "first", "second", "second"]


def test_a_connection_that_no_pod_takes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(_: object, pod: str, namespace: str, ports: str) -> Any:
        asked.append(pod)
        raise kubernetes.client.ApiException(status=404)

    names = iter(f"pod-{number}" for number in range(100))
    monkeypatch.setattr(port_forward, "portforward", refuse)
    monkeypatch.setattr(port_forward, "_ready_pod", lambda *_: next(names))
    client = kubernetes.client.ApiClient()
    assert port_forward._connect(client, port_forward._Target(client, "tracing", "gateway", None), 80) is None
    assert len(asked) == 3
