"""Requests at a constant rate, each in a trace of its own: what was accepted must be done, and its trace be whole."""

import secrets
import ssl
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import httpx

from checks.chaos.cluster import LocalCluster
from contracts import endpoints
from contracts.hops import HOPS, PAGE
from contracts.metadata import AUTHORITY, AUTHORITY_FILE
from contracts.services import GATEWAY
from stack.kubernetes.client import connect
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import read_object
from stack.polling import CheckFailure, poll_until
from stack.probe.match import match_hops
from stack.probe.request import completed_task, own_page, submit
from stack.stores import Stores

_STORED_SECONDS: Final = 300.0
"""How long a task and its trace may take: while Kafka and the stores restart, messages and spans wait."""
# A crawl may fail while the gateway, whose page it is, is replaced.
_HOPS: Final = tuple(hop for hop in HOPS if hop is not PAGE)


class Verified(httpx.HTTPTransport):
    """Reaches the gateway by an address, and verifies that it is the gateway."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": GATEWAY}
        return super().handle_request(request)


def verified(cluster: LocalCluster) -> Verified:
    """Return a transport that trusts the authority of the stack."""
    client = connect(cluster.settings.cluster)
    authority = read_object(client, cluster.namespace, ObjectKey("v1", "ConfigMap", AUTHORITY))
    assert authority, "the stack has no authority"
    return Verified(verify=ssl.create_default_context(cadata=authority["data"][AUTHORITY_FILE]))


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A task that the gateway accepted."""

    task: str
    trace: str
    span: str
    """Of the caller, the parent of the first hop."""


@dataclass
class TracedRequests:
    """Submits tasks while its context is open."""

    cluster: LocalCluster
    encrypted: bool
    """Whether the requests go over TLS."""
    page_encrypted: bool
    """Whether the crawler fetches the gateway's own page over TLS."""
    rate: float = 1.0
    """Requests per second; each trace is looked up afterwards."""
    accepted: list[Accepted] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._client = httpx.Client(transport=verified(self.cluster) if self.encrypted else None)
        address = self.cluster.address(GATEWAY)
        self._gateway = endpoints.url(address, endpoints.SERVICE_PORT, encrypted=self.encrypted)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "TracedRequests":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._ended.wait(1 / self.rate):
            trace, span = secrets.token_hex(16), secrets.token_hex(8)
            page = own_page(encrypted=self.page_encrypted)
            try:
                answer = submit(self._gateway, trace, span, page=page, post=self._client.post).raise_for_status()
            except httpx.HTTPError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.accepted.append(Accepted(task=answer.json()["id"], trace=trace, span=span))


def require_whole(stores: Stores, accepted: list[Accepted]) -> None:
    """Wait until each task is completed and each trace has every hop.

    Raises:
        CheckFailure: one is not within five minutes; names the first.
    """
    with stores.gateway() as gateway, httpx.Client() as client:
        waiting = list(accepted)

        def completed() -> bool:
            while waiting and completed_task(gateway, waiting[0].task, get=client.get):
                waiting.pop(0)
            return not waiting or _fail(f"{len(waiting)} tasks are not completed, the first is {waiting[0].task}")

        poll_until("all accepted tasks to be completed", completed, seconds=_STORED_SECONDS, every=0.5)
    with stores.traces() as store:
        missing = list(accepted)

        def whole() -> bool:
            while missing:
                first = missing[0]
                try:
                    match_hops(store.trace(first.trace), first.span, _HOPS)
                except CheckFailure as failure:
                    return _fail(
                        f"{len(missing)} traces are not known to be whole, the first is {first.trace}: {failure}"
                    )
                missing.pop(0)
            return True

        poll_until("all of their traces", whole, seconds=_STORED_SECONDS, every=0.5)


def _fail(what: str) -> bool:
    raise CheckFailure(what)
