"""Which addresses a user may send the crawler to: not those that only it can reach.

A user names the page. Without this rule the page could be the cloud's metadata service, a database's console or any
other thing that trusts whoever is inside.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from service.crawler.network import DEADLINE, Deadline, Threads

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[Address]]

# IANA's registries of special-purpose addresses, IPv4 and IPv6, both as of 2025-10-09, and the multicast blocks. In the
# code, because Python's own table is another one in every patch level. The exceptions are globally reachable.
_NOT_PUBLIC: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            # Public by its number, private by its use: the host agent of Azure's machines.
            "168.63.129.16/32",
        ),
    )
)
_YET_PUBLIC: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.9/32", "192.0.0.10/32")))
# What is allocated for the public internet; all that lies outside is special, or nobody's.
_PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_YET_PUBLIC_6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001:1::1/128",
            "2001:1::2/128",
            "2001:1::3/128",
            "2001:3::/32",
            "2001:4:112::/48",
            "2001:20::/28",
            "2001:30::/28",
        ),
    )
)
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")
# IPv6 addresses that only stand for an IPv4 one: how far its 32 bits are from the end, and what they are masked with.
_STANDS_FOR: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0, 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0, 0),
    (ipaddress.IPv6Network("2002::/16"), 80, 0),  # 6to4
    (_TEREDO, 0, 0xFFFFFFFF),
)
# How an interface's identifier begins in ISATAP, without the two bits for "of all the world" and "of a group".
_ISATAP: Final = 0x00005EFE
_ISATAP_BITS: Final = 0xFCFFFFFF
_TRIES: Final = 3
# Look-ups under way: the crawler makes one at a time, so all others of them hang.
_MOST_LOOKUPS: Final = 16


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
        return self._named(address) or all(_is_public(one) or self._named(one) for one in _meant(address))

    def _named(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return _in(address, _YET_PUBLIC) or not _in(address, _NOT_PUBLIC)
    if address.scope_id is not None or address not in _PUBLIC_6:
        return False
    return _in(address, _YET_PUBLIC_6) or not _in(address, _NOT_PUBLIC_6)


def _in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _meant(address: Address) -> Iterator[Address]:
    """All addresses that a packet for this one may come to: the IPv4 ones that it embeds, else itself."""
    number = int(address)
    if isinstance(address, ipaddress.IPv4Address) or address.scope_id is not None:
        yield address
        return
    yield next(
        (
            ipaddress.IPv4Address((number >> shift & 0xFFFFFFFF) ^ mask)
            for network, shift, mask in _STANDS_FOR
            if address in network
        ),
        address,
    )
    # Routers on the way may unwrap these.
    if number >> 32 & _ISATAP_BITS == _ISATAP:
        yield ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address in _TEREDO:
        yield ipaddress.IPv4Address(number >> 64 & 0xFFFFFFFF)  # the server


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
        self._threads = Threads(_MOST_LOOKUPS)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends `request` to an allowed address of its host. Raises AddressRefused, NoThread, or as httpx's own."""
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        deadline: Deadline | None = request.extensions.get(DEADLINE)

        def look_up() -> Sequence[Address]:
            return self._resolve(host, port)

        try:
            # The system's own look-up cannot be given a limit.
            found = self._threads.run_until(deadline, look_up) if deadline else look_up()
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
