"""Configuration of the proxy.

It listens on the address of the pod, the program on the loopback interface at the same port. So a port-forward, which
the API server has authenticated and encrypted, reaches the program itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from contracts import endpoints
from stack.components.encryption import peers
from stack.components.encryption.server import COMBINED_FILE
from stack.components.shared.availability import DRAIN_SECONDS

LOOPBACK: Final = "127.0.0.1"
"""Address on which the programs behind a proxy listen."""
ADDRESS_VARIABLE: Final = "POD_IP"
"""Variable with the address on which the proxy listens."""
_POD: Final = f"${{{ADDRESS_VARIABLE}}}"
MONITOR: Final = "/proxy-monitor"
"""Path at which the proxy answers whether the program takes connections."""
CERTIFICATE: Final = "/etc/proxy-certificate"
"""Folder of the certificate."""
CERTIFICATE_NAME: Final = "tls-combined.pem"
"""The key and the certificate."""
TOKENS: Final = "/etc/proxy-tokens"
"""Folder of the tokens."""
TOKENS_NAME: Final = "tokens"
CONFIG: Final = "/etc/proxy"
"""Folder of the configuration and of the program that runs HAProxy."""

CONNECTION_SECONDS: Final = DRAIN_SECONDS - 2
"""Age of a connection to a service, in whole s: no connection outlives the program of a pod that ends."""

_GLOBAL: Final = """\
global
  log stdout format raw local0 notice
  maxconn 500
  # Of a process that has loaded its files again: its last requests have this time to end.
  hard-stop-after 5m
  ssl-default-bind-options ssl-min-ver TLSv1.2
  # Queries of dashboards are in the URL, and longer than the default of 16 KiB allows.
  tune.bufsize 65536

defaults
  mode http
  log global
  # The log has no URLs: they may contain personal data.
  option dontlognull
  option dontlog-normal
  timeout http-request 10s
  timeout http-keep-alive 2m
  timeout connect 5s
  # Of a query that takes long, and of a connection that sends spans.
  timeout client 10m
  timeout server 10m
  default-server check inter 1s fall 2 rise 1
"""


@dataclass(frozen=True, kw_only=True)
class ProxiedPort:
    """A port of the program."""

    number: int
    probes: tuple[str, ...] = ()
    """Paths that need no token, for the kubelet."""
    http2: bool = False
    """Whether the program speaks HTTP/2 alone: gRPC."""
    needs_token: bool = True
    """Whether the proxy asks callers for a token. Otherwise the program itself knows its callers, by what their
    requests have, and limits the age of their connections."""


def second(port: int) -> int:
    """Return the port of the loopback interface for connections of the kind that `port` itself does not take there."""
    return port + endpoints.SECOND_PORTS


def proxy_config(
    ports: Sequence[ProxiedPort],
    *,
    own_tls: Collection[int] = (),
    takes_plain: bool = False,
    peer_ports: Sequence[int] = (),
) -> str:
    """Return HAProxy's configuration: TLS on each port, and a token for all paths except those of probes.

    Args:
        ports: of the program.
        own_tls: further ports, at which the program has TLS itself. With `takes_plain`, it takes connections in clear
            at `second` of them. Without, they have no proxy.
        takes_plain: whether each port takes connections in clear as well, and then without a token.
        peer_ports: ports on which pods of the same program connect to each other; they always need a certificate.
    """
    of_peers = map(_peer_port, peer_ports)
    if not takes_plain:
        return "\n".join([_GLOBAL, *(_port(port, f'"{_POD}:{port.number}"') for port in ports), *of_peers])
    return "\n".join(
        [
            _GLOBAL,
            *(_either(port.number, encrypted=second(port.number), plain=port.number) for port in ports),
            *(_port(port, f"{LOOPBACK}:{second(port.number)}") for port in ports),
            *(_either(number, encrypted=number, plain=second(number)) for number in own_tls),
            *of_peers,
        ]
    )


def _either(number: int, *, encrypted: int, plain: int) -> str:
    """Return the sections that pass a connection on to one of two ports. With TLS, its first byte is 22."""
    return f"""\
frontend either-{number}
  mode tcp
  bind "{_POD}:{number}"
  tcp-request inspect-delay 10s
  tcp-request content accept if {{ req.len gt 0 }}
  use_backend encrypted-{number} if {{ req.payload(0,1) -m bin 16 }}
  default_backend plain-{number}

backend encrypted-{number}
  mode tcp
  server program {LOOPBACK}:{encrypted}

backend plain-{number}
  mode tcp
  server program {LOOPBACK}:{plain}
"""


def _port(port: ProxiedPort, address: str) -> str:
    rules = _token(port) if port.needs_token else _calls()
    return f"""\
listen port-{port.number}
  bind {address} ssl crt {CERTIFICATE}/{CERTIFICATE_NAME} alpn h2,http/1.1
  monitor-uri {MONITOR}
  monitor fail if {{ nbsrv lt 1 }}
{rules}  server program {LOOPBACK}:{port.number}{" proto h2" if port.http2 else ""}
"""


def _token(port: ProxiedPort) -> str:
    without_token = f" !{{ path {' '.join(port.probes)} }}" if port.probes else ""
    return f"""\
  acl has-token req.hdr(authorization),regsub(^Bearer[[:space:]]+,) -m str -f {TOKENS}/{TOKENS_NAME}
  http-request deny deny_status 401 if !has-token{without_token}
  http-request del-header authorization
"""


def _calls() -> str:
    return f"""\
  # The first response after this time asks the client to open another connection, which may lead to another pod.
  tcp-request session set-var(sess.start) date
  # Not the one that begins a WebSocket.
  acl is-old date,sub(sess.start) ge {CONNECTION_SECONDS}
  http-after-response set-header connection close if is-old !{{ status 101 }}
  timeout http-keep-alive {CONNECTION_SECONDS}s
  option forwardfor
  http-request set-header x-forwarded-proto https
  # A client whose request reaches no program sees its connection end, as without the proxy, and repeats it elsewhere.
  errorfile 503 /dev/null
"""


def _peer_port(port: int) -> str:
    """Return what takes the connections of other pods. The program has TLS too, so what it gets is encrypted again.

    Gossip sends a packet at the end of the handshake, and closes the connection without reading from it. With TLS 1.3,
    HAProxy took this for a failed handshake, and lost four of five packets. With TLS 1.2 the handshake ends before the
    packet is sent; of 800 none was lost. There is no check: the program would log each as a broken connection.
    """
    tls = f"ssl crt {peers.FOLDER}/{COMBINED_FILE} ca-file {CONFIG}/{peers.AUTHORITY_FILE}"
    return f"""\
listen peers-{port}
  mode tcp
  bind "{_POD}:{port}" {tls} verify required ssl-max-ver TLSv1.2
  server program {LOOPBACK}:{port} ssl verify none ssl-max-ver TLSv1.2 no-check
"""
