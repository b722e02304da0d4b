"""Free ports of this machine."""

import socket
from collections import deque
from typing import Final

_HELD: Final = 128
_held: deque[socket.socket] = deque()


def free_port() -> int:
    """Returns a port of 127.0.0.1 that no program listens on, and that no other program gets by chance.

    The kernel gives a port that is merely unused to the next connection or program that asks for any port, often before
    the program that it is meant for has started. So a socket that does not listen keeps the port bound. A server can
    still listen on it, since both sockets have SO_REUSEADDR, which servers set by default.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    if len(_held) > _HELD:
        _held.popleft().close()
    port: int = holder.getsockname()[1]
    return port
