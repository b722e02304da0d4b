"""Sends a request, and looks whether its trace ends before the crawler."""

import secrets
from dataclasses import dataclass
from typing import Final

from contracts.hops import SEND_CRAWL
from contracts.services import CRAWLER
from stack.clients.traces import Span, TraceStoreClient
from stack.polling import CheckFailure, poll_until
from stack.probe.request import submit

_STORED_SECONDS: Final = 15.0
_REST_SECONDS: Final = 5.0
"""The time in which the crawler's spans follow the message to it."""


@dataclass(frozen=True)
class TornTraces:
    """Follows requests through a stack."""

    gateway: str
    key: str
    """API key for the gateway; empty if it needs none."""
    store: TraceStoreClient

    def is_torn(self) -> bool:
        """Whether the trace of a new request has the message to the crawler, and no span of the crawler.

        Raises:
            httpx.HTTPError: the gateway or the store does not answer.
            CheckFailure: the trace is not stored in time.
        """
        trace_id = secrets.token_hex(16)
        submit(self.gateway, trace_id, secrets.token_hex(8), key=self.key).raise_for_status()
        poll_until(
            "the trace to be stored",
            lambda: any(span.name == SEND_CRAWL.name for span in self._spans(trace_id)),
            seconds=_STORED_SECONDS,
            every=0.5,
        )
        try:
            poll_until(
                "the spans of the crawler",
                lambda: any(span.service == CRAWLER for span in self._spans(trace_id)),
                seconds=_REST_SECONDS,
                every=0.5,
            )
        except CheckFailure:
            return True
        return False

    def _spans(self, trace_id: str) -> list[Span]:
        return self.store.trace(trace_id)
