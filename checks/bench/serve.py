"""The benchmark's application on a real socket."""

import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from checks.bench.application import build
from checks.bench.instrumentation import Instrumentation
from checks.bench.scenarios import Cost
from checks.bench.usage import cpu_seconds
from stack.polling import poll_until

if TYPE_CHECKING:
    from lean_tracing.asgi import App


class InProgress:
    """An ASGI application, and the number of its requests in progress.

    A span ends after the client has its answer, so a flush right after an answer could miss the span.
    """

    def __init__(self, app: "App") -> None:
        self._app = app
        self._count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application, and count the request until its span has ended."""
        self._count += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._count -= 1

    def wait(self) -> None:
        """Wait until all requests have ended; called from another thread than that of the server.

        Raises:
            CheckFailure: they do not end in time.
        """
        poll_until("the end of all requests", lambda: self._count == 0, every=0.001)


class Serve:
    """The application on a real socket; a client in another process measures the latency."""

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation
        self._in_progress = InProgress(instrumentation.application(build(lambda _: None)))
        config = uvicorn.Config(
            self._in_progress,
            host="127.0.0.1",
            port=0,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=600,  # connections stay open during the turns of the other variants
        )
        server = uvicorn.Server(config)
        threading.Thread(target=server.run, daemon=True).start()
        poll_until("server", lambda: server.started)
        self.port: int = server.servers[0].sockets[0].getsockname()[1]

    def run(self, operations: int) -> Cost:
        """Return the cost so far; another process sends the requests."""
        self._in_progress.wait()
        self._instrumentation.flush()
        return Cost(operations, cpu_seconds(), time.perf_counter())
