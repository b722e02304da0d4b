"""TLS among the pods of a program that is built on dskit: Loki and Tempo.

Their gRPC servers read the certificate again for each connection, and know clients by certificates. Their gossip does
neither, so a proxy takes its connections from outside of the pod.
"""

from typing import Any

from stack.components.encryption.peers import PeerTls
from stack.components.encryption.proxy.config import LOOPBACK

_VERSION = "VersionTLS13"


def grpc_server(tls: PeerTls | None) -> dict[str, Any]:
    """Return what belongs into the section `server`."""
    if tls is None:
        return {}
    return {
        "tls_min_version": _VERSION,
        "grpc_tls_config": {
            "cert_file": tls.certificate,
            "key_file": tls.key,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": tls.authority,
        },
    }


def client(tls: PeerTls | None, version: str = _VERSION) -> dict[str, Any]:
    """Return what belongs into the section of each client of the program's own servers, with the lowest version."""
    if tls is None:
        return {}
    return {
        "tls_enabled": True,
        "tls_cert_path": tls.certificate,
        "tls_key_path": tls.key,
        "tls_ca_path": tls.authority,
        "tls_server_name": tls.name,
        "tls_min_version": version,
    }


def gossip(tls: PeerTls, address: str, port: int) -> dict[str, Any]:
    """Return what belongs into the section `memberlist` of a program that listens for the proxy alone.

    Args:
        tls: by which it knows the others.
        address: of the pod.
        port: on which the pods find each other.
    """
    return {
        "bind_addr": [LOOPBACK],
        "bind_port": port,
        "advertise_addr": address,
        "advertise_port": port,
        # See the proxy's configuration.
        **client(tls, version="VersionTLS12"),
    }
