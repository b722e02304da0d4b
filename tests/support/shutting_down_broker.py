"""A broker that leaves itself out of its metadata while it shuts down, as Kafka does. Serves only metadata requests."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TOPIC = "topic"
_API_VERSIONS, _METADATA, _PRODUCE = 18, 3, 0
_UNSUPPORTED_VERSION, _LEADER_NOT_AVAILABLE = 35, 5
_NODE = 1


class ShuttingDownBroker:
    """Answers in the first versions of the protocol, which clients fall back to."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.is_shutting_down = False

    def serve(self) -> None:
        """Accepts connections until it is closed."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Accepts no more connections."""
        # Wakes the thread that waits in accept, which closing alone does not.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _answer_all(self, connection: socket.socket) -> None:
        # Clients may reset the connection.
        with connection, connection.makefile("rb") as requests, contextlib.suppress(ConnectionError):
            while len(size := requests.read(4)) == 4:
                request = requests.read(*struct.unpack(">i", size))
                key, version, number = struct.unpack_from(">hhi", request)
                answer = self._versions(version) if key == _API_VERSIONS else self._metadata()
                connection.sendall(struct.pack(">ii", len(answer) + 4, number) + answer)

    @staticmethod
    def _versions(requested: int) -> bytes:
        supported = [(_API_VERSIONS, 0, 0), (_METADATA, 1, 1), (_PRODUCE, 0, 3)]
        error = _UNSUPPORTED_VERSION if requested else 0
        ranges = b"".join(struct.pack(">hhh", *versions) for versions in supported)
        return struct.pack(">hi", error, len(supported)) + ranges

    def _metadata(self) -> bytes:
        nodes, error, leader = [], _LEADER_NOT_AVAILABLE, -1
        if not self.is_shutting_down:
            nodes = [struct.pack(">i", _NODE) + _text("127.0.0.1") + struct.pack(">ih", self.port, -1)]
            error, leader = 0, _NODE
        # One partition: its error, number, leader, replicas and in-sync replicas.
        partition = struct.pack(">hiiiiii", error, 0, leader, 1, _NODE, 1, _NODE)
        topic = struct.pack(">h", 0) + _text(TOPIC) + struct.pack(">?i", False, 1) + partition
        return struct.pack(">i", len(nodes)) + b"".join(nodes) + struct.pack(">ii", _NODE, 1) + topic


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


@contextmanager
def shutting_down_broker() -> Iterator[ShuttingDownBroker]:
    """A broker on its own port; it shuts down when `is_shutting_down` is set."""
    broker = ShuttingDownBroker()
    thread = threading.Thread(target=broker.serve, name="broker")
    thread.start()
    try:
        yield broker
    finally:
        broker.close()
        thread.join()
