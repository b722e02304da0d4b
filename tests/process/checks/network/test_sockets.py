"""What counts as an answer to a connection."""

import socket

from checks.network.sockets import reached


def test_a_refusal_is_an_answer_and_silence_is_not() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0), backlog=0) as busy,
        socket.create_connection(busy.getsockname()),
        socket.socket() as closed,
    ):
        closed.bind(("127.0.0.1", 0))
        # The kernel drops the packets for a server that does not accept the connections that it has.
        assert reached([server.getsockname(), closed.getsockname(), busy.getsockname()], 0.5) == {
            server.getsockname(),
            closed.getsockname(),
        }
