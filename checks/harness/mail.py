"""A mail server (SMTP) that keeps the mails it gets."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail as the server got it."""

    login: str
    """User name and password, with a colon between them; empty without a login."""
    recipients: list[str]
    message: Message

    @property
    def content(self) -> bytes:
        """The headers, and the decoded texts of all parts."""
        parts = [part.get_payload(decode=True) for part in self.message.walk() if not part.is_multipart()]
        headers = [f"{name}: {value}".encode() for name, value in self.message.items()]
        return b"\n".join([*headers, *(part for part in parts if isinstance(part, bytes))])


@contextmanager
def mail_server(mails: list[Mail], *, certificate: Path | None = None, key: Path | None = None) -> Iterator[int]:
    """Run a mail server on 127.0.0.1 while the context is open; yields its port.

    Args:
        mails: to which the server adds each mail.
        certificate: file with the server's certificate, for TLS from the first byte; without it, the server has no TLS.
        key: file with the private key.
    """
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True) if context else connection, address

    class Handler(_Handler):
        kept = mails

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


class _Handler(socketserver.StreamRequestHandler):
    """One connection: the commands of SMTP that a client needs to send mails."""

    kept: list[Mail]

    def handle(self) -> None:
        login, recipients = "", list[str]()
        self._reply("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                self._reply("250-localhost\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                login = base64.b64decode(line.split()[2]).decode().replace("\0", ":").lstrip(":")
                self._reply("235 accepted")
            elif verb == "DATA":
                self._reply("354 the mail, and then a line with a dot")
                self.kept.append(Mail(login=login, recipients=recipients, message=message_from_bytes(self._data())))
                recipients = []
                self._reply("250 accepted")
            elif verb == "QUIT":
                self._reply("221 closing")
                return
            else:
                if verb == "RCPT":
                    recipients.append(line.partition("<")[2].partition(">")[0])
                self._reply("250 ok")

    def _data(self) -> bytes:
        text = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            text += line.removeprefix(b".") if line.startswith(b"..") else line
        return text

    def _reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
