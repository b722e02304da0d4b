"""The ends of a port-forward's connections are orderly, so that the client library's thread ends without an error."""

import socket
import threading

from kubernetes.stream.ws_client import PortForward

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
