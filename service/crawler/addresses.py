"""Which addresses a user may send the crawler to: not those that only it can reach.

A user names the page. Without this rule the page could be the cloud's metadata service, a database's console or any
other thing that trusts whoever is inside.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[Address]]

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Public by its number, private by its use: the host agent of Azure's machines.
_ALSO_PRIVATE: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
_TRIES: Final = 3


class AddressRefused(Exception):
    """The host has no address that may be asked; the text says so to the user, without the address."""


@dataclass(frozen=True, kw_only=True)
class AddressRule:
    """Public addresses, and what is named here. hosts: `name` or `name:port`, in lower case."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def allows(self, host: str, port: int, address: Address) -> bool:
        """Whether a connection to `address` on behalf of a URL with this host and port may be made."""
        name = host.lower()
        if name in self.hosts or f"{name}:{port}" in self.hosts:
            return True
        inner = _embedded(address)
        if any(inner in network for network in self.networks if network.version == inner.version):
            return True
        return inner.is_global and not inner.is_multicast and inner not in _ALSO_PRIVATE


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one only stands for, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address


def resolve(host: str, port: int) -> Sequence[Address]:
    """The addresses of `host`, in the system's order of preference. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


class GuardedTransport(httpx.BaseTransport):
    """Connects to the very address it has checked, whatever the name would resolve to a moment later (DNS rebinding).

    Each redirect is a request of its own and passes through here again.
    """

    def __init__(self, rule: AddressRule, transport: httpx.BaseTransport, resolver: Resolve = resolve) -> None:
        """transport: must keep no connections: to it two names with one address look the same."""
        self._rule = rule
        self._transport = transport
        self._resolve = resolver

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends `request` to an allowed address of its host. Raises AddressRefused, or as httpx's own transport."""
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("the host has no address", request=request) from error
        allowed = [address for address in found if self._rule.allows(host, port, address)][:_TRIES]
        if not allowed:
            raise AddressRefused("the host is not a public one")
        for address in allowed[:-1]:
            try:
                return self._send(request, address)
            except httpx.ConnectError:
                continue
        return self._send(request, allowed[-1])

    def _send(self, request: httpx.Request, address: Address) -> httpx.Response:
        return self._transport.handle_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,  # with the Host that was asked for
                stream=request.stream,
                # TLS still asks for, and verifies, the name.
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
        )

    def close(self) -> None:
        """Closes the transport underneath."""
        self._transport.close()
