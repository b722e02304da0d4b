"""Forwards connections to a server on this machine's loopback address: from an address that pods reach, or with TLS."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CHUNK_BYTES: Final = 2**16
_SECONDS: Final = 10.0


@contextmanager
def relay(address: str | socket.socket, port: int, target: int, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """Forward connections while the context is open.

    Args:
        address: where it listens; a socket that listens already may be in another network namespace.
        port: the same.
        target: port of the server on 127.0.0.1.
        tls: of the clients, with the certificate of `address`; the server gets plain bytes.
    """
    loop = asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))

    async def end() -> None:
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    listener = {"sock": address} if isinstance(address, socket.socket) else {"host": address, "port": port}
    server = loop.run_until_complete(asyncio.start_server(connected, ssl=tls, **listener))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_SECONDS)
        loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()
