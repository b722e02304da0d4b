"""The proxy of encrypted telemetry as a process of this machine, with the configuration that the stack gives it."""

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from local.images.cache import LayerCache
from local.images.debian import PROXY, Debian
from local.jobs import Progress
from local.paths import Home
from stack.components.encryption.authority import RENEWAL, Authority
from stack.components.encryption.proxy.config import (
    ADDRESS_VARIABLE,
    CERTIFICATE,
    CERTIFICATE_NAME,
    TOKENS,
    TOKENS_NAME,
    ProxiedPort,
    proxy_config,
    second,
)
from stack.components.encryption.proxy.sidecar import SERVE
from tests.support.programs import skip_missing

ADDRESS: Final = "127.0.0.2"
"""Where the proxy listens; the programs behind it listen on 127.0.0.1."""
TOKEN: Final = "a-token-of-the-telemetry"
AUTHORITY: Final = Authority("a random text of the tests, which is long enough")


@cache
def haproxy_environment() -> Mapping[str, str]:
    """Variables with which the shell runs HAProxy: the one on PATH, or the one of the local cluster's image."""
    if shutil.which("haproxy"):
        return {}
    if not shutil.which("apt-get"):
        skip_missing("haproxy", "install it")
    home = Home.default()
    root = Path(tempfile.mkdtemp(prefix="proxy-image-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    Debian(LayerCache(home.images)).unpack(Progress("proxy", logs=home.logs), PROXY, root)
    libraries = {str(file.parent) for file in (root / "usr/lib").rglob("*.so*")}
    # The programs of the image alone: a pod has no others.
    return {"PATH": f"{root}/usr/sbin:{root}/usr/bin", "LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def write_certificate(folder: Path, *, periods: int, hosts: Sequence[str] = ("localhost", ADDRESS)) -> None:
    """Writes the certificate of a period, counted from this one, as the kubelet updates a Secret's files."""
    issued = AUTHORITY.issue("server", hosts, datetime.now(UTC) + periods * RENEWAL)
    contents = {
        "tls.key": issued.key,
        "tls.crt": issued.certificate,
        CERTIFICATE_NAME: issued.combined,
        "ca.crt": AUTHORITY.certificate,
    }
    for name, content in contents.items():
        new = folder / f"{name}.new"
        new.write_text(content)
        new.rename(folder / name)


class Proxy(ServerProcess):
    """One proxy."""

    def __init__(self, folder: Path, configuration: str, port: int) -> None:
        """Prepares it.

        Args:
            folder: for its files.
            configuration: as the stack gives it.
            port: one on which it listens.
        """
        self.folder = folder
        self.tokens = folder / TOKENS_NAME
        self.tokens.write_text(f"{TOKEN}\n")
        write_certificate(folder, periods=0)
        text = configuration.replace(CERTIFICATE, str(folder)).replace(TOKENS, str(folder))
        file = folder / "haproxy.cfg"
        file.write_text(text)
        command = ["sh", str(SERVE), str(file), str(folder / CERTIFICATE_NAME), str(self.tokens)]
        super().__init__(
            "proxy", command, folder, lambda: _listens(port), {ADDRESS_VARIABLE: ADDRESS, **haproxy_environment()}
        )

    @property
    def authority(self) -> Path:
        """File with the certificate of the authority."""
        return self.folder / "ca.crt"

    def logged(self) -> str:
        """What it has logged so far."""
        return (self.folder / "proxy.log").read_text()


@contextmanager
def proxy(folder: Path, ports: Sequence[ProxiedPort], *, takes_plain: bool = False) -> Iterator[Proxy]:
    """Runs a proxy."""
    text = proxy_config(ports, takes_plain=takes_plain)
    for port in ports:
        # Most ports of this machine that are free have no second one.
        text = text.replace(f":{second(port.number)}", f":{free_port()}") if takes_plain else text
    process = Proxy(folder, text, ports[0].number)
    try:
        process.start()
        yield process
    finally:
        process.stop()


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((ADDRESS, port)) == os.EX_OK
