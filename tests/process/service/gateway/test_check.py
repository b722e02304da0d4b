"""The gateway's check of the task-manager: a connection to a lost pod is no outage, and an outage is found in time."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from service.gateway.check import TaskManagerCheck


class _Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _TaskManager(ThreadingHTTPServer):
    """Accepts no connection until it serves: the kernel does not answer, as for a pod of a lost node."""

    request_queue_size = 0
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def task_manager() -> Iterator[_TaskManager]:
    with _TaskManager(("127.0.0.1", 0), _Alive) as server, contextlib.ExitStack() as stack:
        for _ in range(4):  # they fill the queue of the kernel
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.server_address)
        yield server


def _check(server: _TaskManager) -> TaskManagerCheck:
    return TaskManagerCheck(f"http://127.0.0.1:{server.server_port}")


def test_a_connection_that_gets_no_answer_is_tried_again(task_manager: _TaskManager) -> None:
    serving = threading.Thread(target=task_manager.serve_forever, kwargs={"poll_interval": 0.05})
    begins = threading.Timer(0.3, serving.start)  # before the second attempt, after the first
    begins.start()
    try:
        _check(task_manager)()
    finally:
        begins.join()
        task_manager.shutdown()
        serving.join()


def test_an_outage_is_found_in_time(task_manager: _TaskManager) -> None:
    began = time.monotonic()
    with pytest.raises(httpx.ConnectTimeout):
        _check(task_manager)()
    assert time.monotonic() - began < 6, "three attempts and the pauses between them take 2.6 s"
