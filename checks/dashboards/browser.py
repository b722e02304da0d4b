"""A headless Chromium, driven over its DevTools protocol."""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import websocket

from stack.polling import CheckFailure, poll_until

COMMANDS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_START_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 60.0


class BrowserError(Exception):
    """The browser does not do what it is asked for."""


def installed() -> str | None:
    """Return the path of a Chromium on this machine, if there is one."""
    return next((path for name in COMMANDS if (path := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection = connection
        self._ids = count(1)
        self.call("Page.enable")
        self.call("Network.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result.

        Raises:
            BrowserError: the browser refuses, or does not answer in time.
        """
        number = next(self._ids)
        deadline = time.monotonic() + _CALL_SECONDS
        try:
            self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
            while time.monotonic() < deadline:
                message = json.loads(self._connection.recv())
                if message.get("id") != number:
                    continue  # an event
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error'].get('message')}")
                result: dict[str, Any] = message.get("result", {})
                return result
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise BrowserError(f"{method}: {type(error).__name__}: {error}") from error
        raise BrowserError(f"{method}: no answer within {_CALL_SECONDS:.0f} s")

    def set_size(self, width: int, height: int) -> None:
        """Change the size of the window, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def authorize(self, authorization: str) -> None:
        """Send a header `Authorization` with every request."""
        self.call("Network.setExtraHTTPHeaders", headers={"Authorization": authorization})

    def open(self, url: str) -> None:
        """Go to a URL."""
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, as JSON."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result.get("result", {}).get("value")

    def screenshot(self) -> bytes:
        """Return the window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextlib.contextmanager
def browser(command: str) -> Iterator[Page]:
    """Run Chromium with one tab, and end it.

    Args:
        command: path of the program.

    Raises:
        BrowserError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="dashboards-check-", ignore_cleanup_errors=True) as folder:
        arguments = [
            "--headless=new",
            # Containers lack the user namespaces and the shared memory that Chromium expects.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-port=0",
            "--remote-allow-origins=*",
            f"--user-data-dir={folder}",
            "about:blank",
        ]
        process = subprocess.Popen([command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connection = websocket.create_connection(_tab(Path(folder)), timeout=_CALL_SECONDS)
            with contextlib.closing(connection):
                yield Page(connection)
        except (CheckFailure, websocket.WebSocketException, httpx.HTTPError, OSError) as error:
            raise BrowserError(f"{command}: {error}") from error
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _tab(folder: Path) -> str:
    """Return the WebSocket URL of the first tab, once Chromium has written its port."""
    file = folder / "DevToolsActivePort"
    poll_until(
        "the port of Chromium",
        lambda: file.exists() and len(file.read_text().splitlines()) == 2,
        seconds=_START_SECONDS,
    )
    port = file.read_text().splitlines()[0]
    tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=_START_SECONDS).json()
    return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
