"""Normal traffic: tasks are created and looked at, evenly, for as long as the context is open."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import httpx

from contracts import endpoints, http

_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that failed."""

    at: datetime
    what: str
    """The status, or the name of the error that came instead of one."""

    def __str__(self) -> str:
        return f"{self.what} at {self.at:%H:%M:%S}"


class Traffic:
    """Requests at the gateway: one half creates a task whose page the stack serves itself, one half looks at it."""

    def __init__(self, gateway: str, rate: float, *, keep: bool = True) -> None:
        """gateway: its base URL as this machine reaches it; rate: requests a second; keep: connections are used again,
        and so lead to the same pods."""
        self._gateway = gateway
        self._every = 2 / rate
        self._limits = httpx.Limits(max_connections=100, max_keepalive_connections=20 if keep else 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: Counter[str] = Counter()
        """How many requests were answered with each status, or failed without one."""
        self.failures: list[Failure] = []
        """Those that the service is to blame for: no answer, or a 5xx."""

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        body = {
            "user_email": "traffic@example.com",
            "user_query": "normal traffic",
            "base_url": f"{endpoints.url(endpoints.GATEWAY, endpoints.SERVICE_PORT)}{http.DEMO}",
        }
        began, pairs = time.monotonic(), 0
        asking: list[threading.Thread] = []
        with httpx.Client(base_url=self._gateway, timeout=_SECONDS, limits=self._limits) as client:
            while not self._over.wait(max(0.0, began + pairs * self._every - time.monotonic())):
                pairs += 1
                asking = [thread for thread in asking if thread.is_alive()]
                asking.append(threading.Thread(target=self._pair, args=(client, body), daemon=True))
                asking[-1].start()
            for thread in asking:  # what was asked is answered before the client is closed
                thread.join(2 * _SECONDS)

    def _pair(self, client: httpx.Client, body: dict[str, str]) -> None:
        created = self._ask(client, "POST", http.TASKS, body)
        if created is not None and created.is_success:
            self._ask(client, "GET", f"{http.TASKS}/{created.json()['id']}")
        else:
            self._ask(client, "GET", f"{http.TASKS}?limit=1")

    def _ask(
        self, client: httpx.Client, method: str, path: str, body: dict[str, str] | None = None
    ) -> httpx.Response | None:
        try:
            answer = client.request(method, path, json=body)
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: the client is closed at the end
            self._note(type(error).__name__, failed=True)
            return None
        self._note(str(answer.status_code), failed=answer.is_server_error)
        return answer

    def _note(self, status: str, *, failed: bool) -> None:
        self.answers[status] += 1
        if failed:
            self.failures.append(Failure(at=datetime.now(UTC), what=status))
