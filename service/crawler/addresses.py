"""The addresses that the crawler may connect to: none that only a program inside the network can reach.

A user chooses the page. Without this rule it could be the cloud's metadata service, a database's console, or any other
server that trusts every client inside the network.
"""

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

# IANA's registries of special-purpose addresses, IPv4 and IPv6, both as of 2025-10-09, and the multicast blocks. Not
# Python's own table, which differs between patch releases. The exceptions are globally reachable.
NOT_PUBLIC: Final = tuple(
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
            # A public number with a private use: the host agent of Azure's machines.
            "168.63.129.16/32",
        ),
    )
)
PUBLIC_EXCEPTIONS: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.9/32", "192.0.0.10/32")))
# The block for the public internet; all other addresses are special or unassigned.
PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
PUBLIC_EXCEPTIONS_6: Final = tuple(
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
# IPv6 networks that embed an IPv4 address: how far its 32 bits are from the end, and the mask that is XORed.
_EMBEDS_IPV4: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0, 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0, 0),
    (ipaddress.IPv6Network("2002::/16"), 80, 0),  # 6to4
    (_TEREDO, 0, 0xFFFFFFFF),
)
# The start of an ISATAP interface identifier, without its two bits "universal" and "group".
_ISATAP: Final = 0x00005EFE
_ISATAP_BITS: Final = 0xFCFFFFFF
_MOST_ATTEMPTS: Final = 3
# Lookups in progress: the crawler makes one at a time, so all others hang.
_MOST_LOOKUPS: Final = 16


class AddressRefused(Exception):
    """The host has no permitted address. The text is for the user and does not name the address."""


@dataclass(frozen=True, kw_only=True)
class AddressRule:
    """Permits public addresses, and the hosts and networks named here. hosts: `name` or `name:port`, in lower case."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def allows(self, host: str, port: int, address: Address) -> bool:
        """Whether a URL with this host and port may be fetched from `address`."""
        if self.names(host, port):
            return True
        return self._is_listed(address) or all(_is_public(one) or self._is_listed(one) for one in _targets(address))

    def names(self, host: str, port: int) -> bool:
        """Whether the settings name this host: its pages are the stack's own."""
        name = host.lower()
        return name in self.hosts or f"{name}:{port}" in self.hosts

    def _is_listed(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return _in(address, PUBLIC_EXCEPTIONS) or not _in(address, NOT_PUBLIC)
    if address.scope_id is not None or address not in PUBLIC_6:
        return False
    return _in(address, PUBLIC_EXCEPTIONS_6) or not _in(address, NOT_PUBLIC_6)


def _in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _targets(address: Address) -> Iterator[Address]:
    """All addresses that a packet for this one may reach: the IPv4 addresses that it embeds, or itself."""
    number = int(address)
    if isinstance(address, ipaddress.IPv4Address) or address.scope_id is not None:
        yield address
        return
    yield next(
        (
            ipaddress.IPv4Address((number >> shift & 0xFFFFFFFF) ^ mask)
            for network, shift, mask in _EMBEDS_IPV4
            if address in network
        ),
        address,
    )
    # Routers on the way may unwrap these addresses.
    if number >> 32 & _ISATAP_BITS == _ISATAP:
        yield ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address in _TEREDO:
        yield ipaddress.IPv4Address(number >> 64 & 0xFFFFFFFF)  # the server


def resolve(host: str, port: int) -> Sequence[Address]:
    """The addresses of `host`, in the system's order of preference. Raises OSError or UnicodeError."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in entries))


class GuardedTransport(httpx.BaseTransport):
    """Connects to the address that it has checked, and does not resolve the name again (DNS rebinding).

    Each redirect is a new request and is checked as well.
    """

    def __init__(self, rule: AddressRule, transport: httpx.BaseTransport, resolver: Resolve = resolve) -> None:
        """transport: must not reuse connections: it cannot distinguish two names with one address."""
        self._rule = rule
        self._transport = transport
        self._resolve = resolver
        self._threads = Threads(_MOST_LOOKUPS)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends `request` to an allowed address of its host. Raises AddressRefused, NoThread, or as httpx's own."""
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        deadline: Deadline | None = request.extensions.get(DEADLINE)

        def lookup() -> Sequence[Address]:
            return self._resolve(host, port)

        try:
            # The system's own lookup takes no time limit.
            addresses = self._threads.run_until(deadline, lookup) if deadline else lookup()
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("the host has no address", request=request) from error
        permitted = [address for address in addresses if self._rule.allows(host, port, address)][:_MOST_ATTEMPTS]
        if not permitted:
            raise AddressRefused("the host is not a public one")
        for address in permitted[:-1]:
            try:
                return self._send(request, address)
            except httpx.ConnectError:
                continue
        return self._send(request, permitted[-1])

    def _send(self, request: httpx.Request, address: Address) -> httpx.Response:
        return self._transport.handle_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,  # with the original Host
                stream=request.stream,
                # TLS still names, and verifies, the host.
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
        )

    def close(self) -> None:
        """Closes the transport underneath."""
        self._transport.close()
