"""The way of a user's requests into the cluster, with the behaviour of an ingress controller."""

import itertools
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
import kubernetes

from lean_tracing.background import Loop

ATTEMPTS: Final = 4
"""Pods to which a request is sent at most."""
_CONNECT_SECONDS: Final = 1.0
_CONNECTIONS: Final = 1000
_REFRESH_SECONDS: Final = 0.5
_LOST_MS: Final = 4000
_SOCKET_OPTIONS: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_MS),
)
"""A connection ends when the other side has confirmed no packet for 4 s; a slow answer is no reason."""
_NO_POD: Final = httpx.ConnectError("the Service has no ready pod")
_logger = logging.getLogger(__name__)


class FrontDoor(httpx.BaseTransport):
    """Sends each request to the next ready pod, at the pod's own address.

    If the pod cannot be reached within a second, or if the connection breaks while the request only reads, the request
    goes to the next pod. A request that creates something is sent to one pod only: it may have taken effect.
    """

    def __init__(self, addresses: Callable[[], Sequence[str]], transport: httpx.BaseTransport | None = None) -> None:
        """Prepares the way.

        Args:
            addresses: returns host:port of each pod that is ready now.
            transport: sends to an address; over TCP by default.
        """
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=0)
        self._transport = transport or httpx.HTTPTransport(limits=limits, socket_options=_SOCKET_OPTIONS)
        self._addresses = addresses
        self._turns = itertools.count()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request; raises the last error if no pod answers."""
        request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "connect": _CONNECT_SECONDS}
        error: httpx.TransportError = _NO_POD
        for address in self._next():
            host, _, port = address.rpartition(":")
            request.url = request.url.copy_with(host=host, port=int(port))
            try:
                response = self._transport.handle_request(request)
                response.read()
            except httpx.TransportError as failure:
                error = failure
                is_unreached = isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout)
                if not is_unreached and request.method != "GET":
                    raise
            else:
                return response
        raise error

    def _next(self) -> list[str]:
        """The addresses to try, in their order; the first one is another one for each request."""
        addresses = self._addresses()
        if not addresses:
            return []
        first = next(self._turns)
        return [addresses[(first + attempt) % len(addresses)] for attempt in range(ATTEMPTS)]

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()


class ReadyPods:
    """The addresses of a Service's ready pods, as the API server has them."""

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str, service: str) -> None:
        self._api = kubernetes.client.DiscoveryV1Api(client)
        self._namespace = namespace
        self._selector = f"kubernetes.io/service-name={service}"
        self._addresses: tuple[str, ...] = ()

    def addresses(self) -> tuple[str, ...]:
        """host:port of each pod that is ready; the last known ones while the API server does not answer."""
        return self._addresses

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Asks the API server twice a second while the context is open."""
        self._refresh()
        loop = Loop("ready-pods", self._refresh, _logger)
        loop.start()
        try:
            yield
        finally:
            loop.stop(10)

    def _refresh(self) -> float:
        slices = self._api.list_namespaced_endpoint_slice(
            self._namespace, label_selector=self._selector, _request_timeout=5
        )
        self._addresses = tuple(
            sorted(
                f"{address}:{each.ports[0].port}"
                for each in slices.items
                for endpoint in each.endpoints or []
                if endpoint.conditions.ready
                for address in endpoint.addresses
            )
        )
        return _REFRESH_SECONDS
