"""The certificates by which the pods of one program know each other, as files of this machine, and their clients."""

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from checks.harness.server import ServerProcess
from stack.components.encryption.authority import RENEWAL, Authority
from stack.components.encryption.peers import AUTHORITY_FILE, FOLDER, PeerTls
from stack.components.encryption.proxy.config import ADDRESS_VARIABLE, CONFIG, LOOPBACK, proxy_config
from stack.components.encryption.proxy.sidecar import SERVE
from stack.components.encryption.server import CERTIFICATE_FILE, COMBINED_FILE, KEY_FILE
from tests.support.proxied import haproxy_environment

SEED: Final = "a random text of the tests, which is long enough"


class PeerFiles:
    """The certificate of a group in a folder, as the kubelet writes a Secret's files."""

    def __init__(self, folder: Path, group: str, authority: Authority | None = None) -> None:
        """Writes the certificate of the present period.

        Args:
            folder: for the files; it is created.
            group: name of the program.
            authority: which issues the certificate; the group's own if None.
        """
        folder.mkdir()
        self.folder = folder
        self._group = group
        self._own = Authority(SEED, f"{group}-peers")
        self._authority = authority or self._own
        self.tls = PeerTls(
            name=group,
            authority=str(folder / AUTHORITY_FILE),
            certificate=str(folder / CERTIFICATE_FILE),
            key=str(folder / KEY_FILE),
        )
        # Of the group, also if another one issues the certificate: it verifies the servers that are asked.
        self._write(AUTHORITY_FILE, self._own.certificate)
        self.renew(periods=0)

    def renew(self, *, periods: int) -> None:
        """Writes the certificate of a period, counted from the present one."""
        issued = self._authority.issue(
            f"{self._group}-peers", [self._group], datetime.now(UTC) + periods * RENEWAL, is_client=True
        )
        for name, content in (
            (KEY_FILE, issued.key),
            (CERTIFICATE_FILE, issued.certificate),
            (COMBINED_FILE, issued.combined),
        ):
            self._write(name, content)

    def serial_number(self) -> int:
        """Returns that of the certificate in the folder."""
        return x509.load_pem_x509_certificate((self.folder / CERTIFICATE_FILE).read_bytes()).serial_number

    def client(self, *, certificate: bool = True) -> ssl.SSLContext:
        """Returns what a client needs that verifies servers of the group, with or without a certificate."""
        context = ssl.create_default_context(cafile=self.tls.authority)
        context.set_alpn_protocols(["h2"])  # gRPC servers insist on it
        if certificate:
            context.load_cert_chain(self.tls.certificate, self.tls.key)
        return context

    def _write(self, name: str, content: str) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(content)
        new.rename(self.folder / name)


class PeerProxy(ServerProcess):
    """The proxy in the pod of a peer: it takes the connections of others for a program at another address."""

    def __init__(self, files: PeerFiles, folder: Path, address: str, program: str, port: int) -> None:
        """Prepares the process.

        Args:
            files: the certificate.
            folder: for its own files.
            address: of the pod.
            program: address of this machine on which the program listens, in place of the pod's loopback interface.
            port: of both.
        """
        text = proxy_config([], peer_ports=[port]).replace(LOOPBACK, program)
        text = text.replace(FOLDER, str(files.folder)).replace(f"{CONFIG}/{AUTHORITY_FILE}", files.tls.authority)
        file = folder / "haproxy.cfg"
        file.write_text(text)
        command = ["sh", str(SERVE), str(file), str(files.folder / COMBINED_FILE)]

        def is_ready() -> bool:
            with socket.socket() as connection:
                return connection.connect_ex((address, port)) == 0

        super().__init__("proxy", command, folder, is_ready, {ADDRESS_VARIABLE: address, **haproxy_environment()})


def served_serial_number(address: tuple[str, int], client: ssl.SSLContext, name: str) -> int:
    """Returns that of the certificate which a new client gets.

    Raises:
        ssl.SSLError: the server is not one of the group, or refuses the client.
        OSError: it closes the connection.
    """
    with (
        socket.create_connection(address, timeout=10) as plain,
        client.wrap_socket(plain, server_hostname=name) as encrypted,
    ):
        certificate = encrypted.getpeercert()
        assert certificate
        # With TLS 1.3 a server says after the handshake that it refuses the client's certificate.
        encrypted.settimeout(_REFUSED_WITHIN)
        try:
            if not encrypted.recv(1):
                raise ConnectionResetError("the server has closed the connection")
        except TimeoutError:
            pass
        return int(str(certificate["serialNumber"]), 16)


_REFUSED_WITHIN: Final = 2
"""How soon a server has refused a client, in s."""


def is_refused(address: tuple[str, int], client: ssl.SSLContext, name: str) -> bool:
    """Whether a server that is one of the group refuses a client."""
    try:
        served_serial_number(address, client, name)
    except ssl.SSLCertVerificationError:
        raise
    except OSError:
        return True
    return False
