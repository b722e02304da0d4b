"""Reads tasks from a server of which the first connection vanishes: `unshare --net python -m`, as root.

It prints the status of each read and the seconds that it took.
"""

import asyncio
import json
import subprocess
import time

from lean_tracing import TracingSettings, start_tracing
from service.common.access import ANYONE
from service.gateway.api import TaskReader

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class _Server:
    """Answers; after the first answer, the packets of that connection are dropped, as if its node had lost power."""

    def __init__(self) -> None:
        self._has_vanished = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(_ANSWER)
                await writer.drain()
                if not self._has_vanished:
                    self._has_vanished = True
                    await asyncio.sleep(0.1)  # the client has the answer, and has confirmed it
                    port = str(writer.get_extra_info("peername")[1])
                    rule = ["--append", "INPUT", "--protocol", "tcp", "--sport", port, "--jump", "DROP"]
                    subprocess.run(["iptables", "--wait", *rule], check=True)
        except asyncio.IncompleteReadError:
            writer.close()


async def _reads() -> list[tuple[int, float]]:
    tracing = start_tracing(TracingSettings(enabled=False))
    server = await asyncio.start_server(_Server().serve, "127.0.0.1", 0)
    tasks = TaskReader(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", tracing.traces)
    results = []
    for _ in range(3):
        started = time.monotonic()
        status = (await tasks.read("/api/tasks", ANYONE)).status_code
        results.append((status, time.monotonic() - started))
        await asyncio.sleep(0.5)
    await tasks.close()
    server.close()
    tracing.shutdown()
    return results


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print(json.dumps(asyncio.run(_reads())))
