"""Connections whose request never arrives are closed, and old ones with a response; others are not."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, Request

from checks.harness.ports import free_port
from service.common.config import ServiceSettings
from service.common.connections import LimitedProtocol
from tests.support.serving import served

SECONDS = 1.0


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    app = FastAPI()

    @app.get("/")
    async def read() -> str:
        return "ok"

    @app.post("/")
    async def write(request: Request) -> int:
        return len(await request.body())

    monkeypatch.setattr(LimitedProtocol, "head_seconds", SECONDS)
    settings = ServiceSettings(host="127.0.0.1", port=free_port())
    with served(app, settings):
        yield settings.port


def _closed_after(port: int, *pieces: bytes, pause: float = 0.2) -> float:
    """The seconds until the server closes a connection to which these pieces are sent, again and again."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        started = time.monotonic()
        client.settimeout(pause)
        while time.monotonic() - started < 20:
            try:
                for piece in pieces:
                    client.sendall(piece)
                if client.recv(4096) == b"":
                    return time.monotonic() - started
            except TimeoutError:
                continue
            except OSError:
                return time.monotonic() - started
    raise AssertionError("the server keeps the connection")


def test_a_silent_connection_and_an_endless_head_are_closed(port: int) -> None:
    assert _closed_after(port) >= SECONDS - 0.1
    assert _closed_after(port, b"G") >= SECONDS - 0.1  # a byte at a time


def test_many_half_open_connections_keep_no_other_client_waiting_and_end(port: int) -> None:
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=10).text == '"ok"'
    for client in clients:
        client.settimeout(20)
        assert client.recv(1) == b""
        client.close()


def test_a_kept_connection_and_a_slow_body_pass(port: int) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(8):
            yield b"x"
            time.sleep(SECONDS / 4)

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for _ in range(6):
            assert client.get("/").is_success
            time.sleep(SECONDS / 3)
        assert client.post("/", content=drip()).json() == 8
        assert client.get("/").is_success


def test_a_busy_connection_is_opened_again_once_it_is_old(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service balances connections, so a pod that is new gets requests of clients that keep theirs."""
    monkeypatch.setattr(LimitedProtocol, "age_seconds", SECONDS)
    ends: list[float] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        started = time.monotonic()
        while len(ends) < 2:
            answer = client.get("/")
            assert answer.is_success
            if answer.headers.get("connection") == "close":
                ends.append(time.monotonic() - started)
            assert time.monotonic() - started < 20
    assert ends[0] >= SECONDS - 0.1
    assert ends[1] >= 2 * SECONDS - 0.2
