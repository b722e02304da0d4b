"""Serves an application on a port, in a thread of the test's process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lean_tracing.asgi import App
from service.common.config import ServiceSettings
from service.common.server import build_server
from stack.polling import poll_until


@contextmanager
def served(app: App, settings: ServiceSettings) -> Iterator[str]:
    """The URL of `app`, stopped when the block ends."""
    server = build_server(app, settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{settings.port}"
    try:
        poll_until(f"server on {url}", lambda: server.started)
        yield url
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "a service does not stop"
