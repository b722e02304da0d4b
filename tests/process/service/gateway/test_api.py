"""The gateway reads on when the pod of the previous answer ends."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lean_tracing import TracingSettings, start_tracing
from service.common.access import ANYONE
from service.common.errors import Unavailable
from service.gateway.api import TaskReader

_ROOT = Path(__file__).parents[4]
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
_UNAVAILABLE = _ANSWER.replace(b"200 OK", b"503 Service Unavailable").replace(b"json", b"problem+json", 1)


async def _answers_once_a_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Like a pod that ends while its clients keep connections: the next request gets a closed connection."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_ANSWER)
    await writer.drain()
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


def test_a_closed_connection_fails_no_read() -> None:
    tracing = start_tracing(TracingSettings(enabled=False))

    async def reads() -> list[int]:
        server = await asyncio.start_server(_answers_once_a_connection, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            tasks = TaskReader(f"http://127.0.0.1:{port}", tracing.traces)
            try:
                return [(await tasks.read("/api/tasks", ANYONE)).status_code for _ in range(4)]
            finally:
                await tasks.close()

    try:
        assert asyncio.run(reads()) == [200] * 4
    finally:
        tracing.shutdown()


class _Failover:
    """A task-manager whose database is unavailable for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        writer.write(_ANSWER if time.monotonic() > self._until else _UNAVAILABLE)
        await writer.drain()
        writer.close()


@pytest.mark.parametrize(("seconds", "status"), [(1.0, 200), (60.0, 503)])
def test_a_read_waits_while_the_database_fails_over(seconds: float, status: int) -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    database = _Failover(seconds)

    async def read() -> int:
        async with await asyncio.start_server(database.serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            tasks = TaskReader(f"http://127.0.0.1:{port}", tracing.traces, patience=2.0)
            try:
                return (await tasks.read("/api/tasks", ANYONE)).status_code
            finally:
                await tasks.close()

    try:
        assert asyncio.run(asyncio.wait_for(read(), 10)) == status
        assert 3 <= database.requests <= 6, "the attempts become rarer"
    finally:
        tracing.shutdown()


@pytest.mark.parametrize("answered_after", [(0, 60), (0, 1.5, 60)])
def test_a_slow_attempt_does_not_make_a_read_wait_longer(answered_after: tuple[float, ...]) -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    waits = iter(answered_after)

    async def answers_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(next(waits))
        writer.write(_UNAVAILABLE)
        writer.close()

    async def seconds() -> float:
        async with await asyncio.start_server(answers_late, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            tasks = TaskReader(f"http://127.0.0.1:{port}", tracing.traces, patience=2.0)
            started = time.monotonic()
            try:
                # On a busy machine, the last answer may come when the patience is over: it is the result then.
                with contextlib.suppress(Unavailable):
                    assert (await tasks.read("/api/tasks", ANYONE)).status_code == 503
                return time.monotonic() - started
            finally:
                await tasks.close()

    try:
        assert asyncio.run(asyncio.wait_for(seconds(), 20)) < 4
    finally:
        tracing.shutdown()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops packets")
def test_a_connection_to_a_lost_node_fails_no_read() -> None:
    command = ["unshare", "--net", sys.executable, "-m", "tests.support.vanishing_peer"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    reads = json.loads(done.stdout)
    assert [status for status, _ in reads] == [200, 200, 200]
    assert reads[1][1] < 5, "a lost node is noticed before a slow answer is given up"
