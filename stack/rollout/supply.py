"""Requests of the rollout's own, to both versions: the traffic that users do not supply."""

import contextlib
import itertools
import logging
from collections.abc import Iterator, Sequence

import httpx

from contracts.http import TASKS
from lean_tracing.background import Loop
from stack.probe.request import ANSWER_SECONDS, OWN_PAGE, SMOKE_CHECK, authorization, task

_PAUSE_SECONDS = 1.0
_logger = logging.getLogger(__name__)


def rate(missing: int, seconds: float, gateways: int, largest: float) -> float:
    """Requests per second to all gateways, so that each gets those that are missing within a time in s, if it can."""
    return min(gateways * missing / seconds, largest)


class Supply:
    """Sends tasks to the gateways in turn, as many as an analysis lacks operations.

    The services trace them like those of users, and delete them after an hour.
    """

    def __init__(self, gateways: Sequence[str], largest_rate: float, *, page: str = OWN_PAGE, key: str = "") -> None:
        """Prepares the requests.

        Args:
            gateways: base URLs of the gateways.
            largest_rate: in requests per second, over all gateways.
            page: URL of the page of the tasks.
            key: API key of the gateway, if it needs one.
        """
        self._gateways = itertools.cycle(gateways)
        self._page = page
        self._number = len(gateways)
        self._largest_rate = largest_rate
        self._rate = 0.0
        self._client = httpx.Client(
            headers={"User-Agent": SMOKE_CHECK.user_agent, **authorization(key)}, timeout=ANSWER_SECONDS
        )

    def request(self, missing: int, seconds: float) -> None:
        """Sends about as many requests to each gateway from now on as are missing, within a time in s, if it can."""
        self._rate = rate(missing, seconds, self._number, self._largest_rate)

    @contextlib.contextmanager
    def run(self) -> Iterator["Supply"]:
        """Sends the requests while the context is open."""
        loop = Loop("requests of the rollout", self._send, _logger)
        loop.start()
        try:
            yield self
        finally:
            loop.stop(2 * ANSWER_SECONDS)
            self._client.close()

    def _send(self) -> float:
        """Sends one request; returns the seconds until the next one."""
        if not self._rate:
            return _PAUSE_SECONDS
        # A request that fails is an error of the version: the check of errors counts it.
        with contextlib.suppress(httpx.HTTPError):
            self._client.post(f"{next(self._gateways)}{TASKS}", json=task(SMOKE_CHECK, self._page))
        return 1 / self._rate if self._rate else _PAUSE_SECONDS
