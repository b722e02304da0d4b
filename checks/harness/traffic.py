"""Normal traffic: creates tasks and reads them, at a constant rate, while its context is open."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import httpx

from contracts import http
from stack.probe.request import OWN_PAGE, authorization

_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page, and the user who asks for it."""

    user: str
    """E-mail address."""
    url: str


def own_page() -> Page:
    """Return the stack's own page, which never fails."""
    return Page(user="traffic@example.com", url=OWN_PAGE)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that failed."""

    method: str
    started: datetime
    time: datetime
    """When it had failed."""
    reason: str
    """The status, or the name of the error if there was no answer."""

    def __str__(self) -> str:
        return f"{self.method}: {self.reason} at {self.time:%H:%M:%S}"


class Traffic:
    """Requests to the gateway: half of them create a task, half of them read it."""

    def __init__(
        self,
        gateway: str,
        rate: float,
        *,
        keep: bool = True,
        choose: Callable[[], Page] = own_page,
        transport: httpx.BaseTransport | None = None,
        seconds: float = _SECONDS,
        key: str = "",
    ) -> None:
        """Prepares traffic.

        Args:
            gateway: base URL of the gateway.
            rate: requests per second.
            keep: whether connections are kept, and so lead to the same pods.
            choose: chooses the page of each task.
            transport: sends the requests; by default straight to the gateway's address.
            seconds: after which a request without an answer has failed.
            key: API key for the gateway; empty if it needs none.
        """
        self._gateway = gateway
        self._every = 2 / rate
        self._choose = choose
        self._seconds = seconds
        self._headers = authorization(key)
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20 if keep else 0)
        self._transport = transport or httpx.HTTPTransport(limits=limits)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: Counter[str] = Counter()
        """Number of requests by status, or by error if there was no answer."""
        self.created: list[str] = []
        """Ids of the tasks that were acknowledged."""
        self.failures: list[Failure] = []
        """The requests without an answer, or with a status of 5xx."""
        self.slowest = 0.0
        """Longest time to an answer, in s."""

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        started, pairs = time.monotonic(), 0
        pending: list[threading.Thread] = []
        with httpx.Client(
            base_url=self._gateway, timeout=self._seconds, transport=self._transport, headers=self._headers
        ) as client:
            while not self._ended.wait(max(0.0, started + pairs * self._every - time.monotonic())):
                pairs += 1
                pending = [thread for thread in pending if thread.is_alive()]
                pending.append(threading.Thread(target=self._pair, args=(client, self._choose()), daemon=True))
                pending[-1].start()
            for thread in pending:  # the last requests are answered before the client is closed
                thread.join(2 * self._seconds)

    def _pair(self, client: httpx.Client, page: Page) -> None:
        body = {"user_email": page.user, "user_query": "normal traffic", "base_url": page.url}
        created = self._ask(client, "POST", http.TASKS, body)
        if created is not None and created.is_success:
            identifier = str(created.json()["id"])
            self.created.append(identifier)
            self._ask(client, "GET", f"{http.TASKS}/{identifier}")
        else:
            self._ask(client, "GET", f"{http.TASKS}?limit=1")

    def _ask(
        self, client: httpx.Client, method: str, path: str, body: dict[str, str] | None = None
    ) -> httpx.Response | None:
        started = datetime.now(UTC)
        try:
            answer = client.request(method, path, json=body)
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: the client is closed at the end
            self._note(type(error).__name__, method, started, failed=True)
            return None
        self.slowest = max(self.slowest, (datetime.now(UTC) - started).total_seconds())
        self._note(str(answer.status_code), method, started, failed=answer.is_server_error)
        return answer

    def _note(self, status: str, method: str, started: datetime, *, failed: bool) -> None:
        self.answers[status] += 1
        if failed:
            self.failures.append(Failure(method=method, started=started, time=datetime.now(UTC), reason=status))
