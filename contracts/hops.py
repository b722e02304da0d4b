"""The edge table: the spans that the request for one crawl must show in one trace, and the parent of each.

The crawled page is the gateway's own, so that the trace returns to a service of the stack.
"""

from dataclasses import dataclass
from typing import Final

from contracts.http import DEMO, TASKS
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from contracts.tasks import TABLE
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A span, and the hop that must be its parent. Spans of kind INTERNAL may be between the two."""

    service: str
    kind: str
    name: str
    parent: "Hop | None" = None

    def __str__(self) -> str:
        return f"{self.service} {self.kind} {self.name!r}"


def _server(service: str, name: str, parent: Hop | None = None) -> Hop:
    return Hop(service=service, kind="SERVER", name=name, parent=parent)


def _client(service: str, name: str, parent: Hop) -> Hop:
    return Hop(service=service, kind="CLIENT", name=name, parent=parent)


def _send(service: str, topic: str, parent: Hop) -> Hop:
    return Hop(service=service, kind="PRODUCER", name=f"send {topic}", parent=parent)


def _process(service: str, topic: str, parent: Hop) -> Hop:
    return Hop(service=service, kind="CONSUMER", name=f"process {topic}", parent=parent)


REQUEST: Final = _server(GATEWAY, f"POST {TASKS}")
SEND_NEW: Final = _send(GATEWAY, STATUS_TOPIC, REQUEST)
PROCESS_NEW: Final = _process(TASK_MANAGER, STATUS_TOPIC, SEND_NEW)
INSERT: Final = _client(TASK_MANAGER, f"INSERT {TABLE}", PROCESS_NEW)
SEND_CRAWL: Final = _send(TASK_MANAGER, CRAWL_TOPIC, PROCESS_NEW)
CRAWL: Final = _process(CRAWLER, CRAWL_TOPIC, SEND_CRAWL)
FETCH: Final = _client(CRAWLER, "GET", CRAWL)
PAGE: Final = _server(GATEWAY, f"GET {DEMO}", FETCH)
SEND_DONE: Final = _send(CRAWLER, STATUS_TOPIC, CRAWL)
PROCESS_DONE: Final = _process(TASK_MANAGER, STATUS_TOPIC, SEND_DONE)
UPDATE: Final = _client(TASK_MANAGER, f"UPDATE {TABLE}", PROCESS_DONE)

HOPS: Final = (
    REQUEST, SEND_NEW, PROCESS_NEW, INSERT, SEND_CRAWL, CRAWL, FETCH, PAGE, SEND_DONE, PROCESS_DONE, UPDATE,
)  # fmt: skip
"""The edge table; each hop comes after its parent."""
