"""Pages outside the stack, some of which fail as foreign sites do: dead hosts, 404, 500, slow answers.

They are served on this machine, under an address that the crawler takes for public: IANA's anycast address of the Port
Control Protocol, which is globally reachable by its registry and belongs to no site.
"""

import contextlib
import fcntl
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final

from checks.harness.traffic import Page
from stack.probe.request import OWN_PAGE

ADDRESS: Final = "192.0.0.9"
FAILING_SHARE: Final = 0.08
"""Share of the pages that fail."""
SLOW_SECONDS: Final = 1.0
_DEAD_HOSTS: Final = 30
_USERS: Final = 20
_BODY: Final = b"<html><title>A foreign page</title><p>It answers.</p></html>"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(SLOW_SECONDS)
        self.send_response({"/404": 404, "/500": 500}.get(self.path, 200))
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing for a request."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: the crawler resets connections."""


class ForeignSites:
    """Serves the pages while its context is open."""

    def __init__(self, address: str = ADDRESS) -> None:
        """address: given to this machine while any program serves pages there."""
        self._address = address
        self._users = Path(tempfile.gettempdir()) / f"web-crawl-tracing-{address}.lock"

    def __enter__(self) -> "ForeignSites":
        self._lock = self._users.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._set_address("replace")
        self._server = _Server((self._address, 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        # Another program that serves pages there holds the lock as well, and needs the address.
        with self._lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._set_address("del")

    @property
    def url(self) -> str:
        """Base URL of the pages."""
        return f"http://{self._address}:{self._server.server_port}"

    def _set_address(self, action: str) -> None:
        subprocess.run(["ip", "address", action, f"{self._address}/32", "dev", "lo"], check=True)


def mixed_pages(url: str, generator: random.Random) -> Callable[[], Page]:
    """Return a function that chooses a page: the stack's own, a foreign one, or one that fails.

    Args:
        url: base URL of the foreign pages.
        generator: of random numbers.
    """

    def choose() -> Page:
        user = f"user-{generator.randrange(_USERS)}@example.com"
        if generator.random() >= FAILING_SHARE:
            return Page(user=user, url=generator.choice([OWN_PAGE, f"{url}/page"]))
        # The cluster's own DNS server answers that there is no such host.
        dead = f"http://dead-{generator.randrange(_DEAD_HOSTS)}.cluster.local/"
        return Page(user=user, url=generator.choice([dead, f"{url}/404", f"{url}/500", f"{url}/slow"]))

    return choose
