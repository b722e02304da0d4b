"""Clients that are slow, silent or too large must not keep others waiting, nor keep their connection or memory."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator
from random import Random
from typing import Final
from urllib.parse import urlsplit

import httpx

from checks.security.access import BODY, bearer
from checks.security.fuzz import pids
from checks.security.fuzz_limits import bounded
from checks.security.outcome import Outcome
from checks.security.services import STACK_KEY, Services
from contracts.http import TASKS
from service.common.connections import HEAD_SECONDS

_HEAD: Final = f"Host: x\r\nAuthorization: Bearer {STACK_KEY}\r\nContent-Type: application/json\r\n"
_SLOW: Final = {
    "silent": b"",
    "half a head": f"POST {TASKS} HTTP/1.1\r\n{_HEAD}X-Slow: ".encode(),
    "half a body": f"POST {TASKS} HTTP/1.1\r\n{_HEAD}Content-Length: 100\r\n\r\n{{".encode(),
    "half a chunk": f"POST {TASKS} HTTP/1.1\r\n{_HEAD}Transfer-Encoding: chunked\r\n\r\n64\r\n{{".encode(),
}
_LONGEST_WAIT: Final = 45.0
"""A connection is closed, or answered, after this time at the latest: the limit of a head, or that of a body."""
_OTHERS_SECONDS: Final = 5.0


def slow_clients(services: Services, count: int) -> Outcome:
    """Open many connections that never complete a request, and see them end while other clients are served."""
    outcome = Outcome(attack="slow and half-open clients keep connections, or others waiting")
    address = "127.0.0.1", urlsplit(services.gateway).port or 0
    kinds = list(_SLOW)
    with bounded(outcome, pids(services)), httpx.Client(base_url=services.gateway) as client:
        connections: dict[socket.socket, str] = {}
        for number in range(count):
            connection = socket.create_connection(address, timeout=_OTHERS_SECONDS)
            connection.sendall(_SLOW[kinds[number % len(kinds)]])
            connections[connection] = kinds[number % len(kinds)]
        started = time.monotonic()
        while connections and time.monotonic() - started < _LONGEST_WAIT:
            outcome.add(_waits(client))
            for connection in select.select(list(connections), [], [], 1.0)[0]:
                kind = connections.pop(connection)
                is_early = time.monotonic() - started < HEAD_SECONDS / 2
                outcome.add(f"{kind}: ended at once" if is_early else None)
                connection.close()
        for connection, kind in connections.items():
            outcome.add(f"{kind}: the connection is open after {_LONGEST_WAIT:.0f} s")
            connection.close()
    return outcome


def _waits(client: httpx.Client) -> str | None:
    started = time.monotonic()
    try:
        client.get(TASKS, headers=bearer(STACK_KEY), timeout=_OTHERS_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        return f"another client is not served: {type(error).__name__} after {time.monotonic() - started:.1f} s"
    return None


def oversized_clients(services: Services, count: int, seed: int) -> Outcome:
    """Send requests with a part that is too large; each is refused, or its connection closed."""
    outcome = Outcome(attack="oversized requests are taken, or fill the memory")
    random = Random(seed)
    port = urlsplit(services.gateway).port or 0
    with bounded(outcome, pids(services)):
        for _ in range(count):
            name, parts = random.choice(list(_oversized(random).items()))
            status = _status(port, parts)
            is_refused = status is None or 400 <= status < 500
            outcome.add(None if is_refused else f"{name}: status {status}")
    return outcome


def _oversized(random: Random) -> dict[str, Iterator[bytes]]:
    post = f"POST {TASKS} HTTP/1.1\r\n{_HEAD}"
    size = random.choice((1, 4, 16)) << 20
    body = json.dumps({**BODY, "user_query": "x" * size}).encode()
    block = b"x" * 65_536
    chunk = f"{len(block):x}\r\n".encode() + block + b"\r\n"
    return {
        "body": iter([f"{post}Content-Length: {len(body)}\r\n\r\n".encode(), body]),
        "declared length": iter([f"{post}Content-Length: {10**15}\r\n\r\n".encode(), block]),
        "endless chunks": iter([f"{post}Transfer-Encoding: chunked\r\n\r\n".encode(), *[chunk] * (size >> 16)]),
        "header": iter([f"{post}X-Long: ".encode(), b"x" * size, b"\r\n\r\n"]),
        "headers": iter([post.encode(), b"".join(b"X-%d: 1\r\n" % number for number in range(20_000)), b"\r\n"]),
        "path": iter([b"GET /", b"x" * size, f" HTTP/1.1\r\n{_HEAD}\r\n".encode()]),
    }


def _status(port: int, parts: Iterator[bytes]) -> int | None:
    """The status of the answer; None if the connection is closed without one."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(OSError):  # it may be closed already, perhaps after an answer
            for part in parts:
                connection.sendall(part)
        try:
            answer = connection.recv(64)
        except OSError:
            return None
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None
