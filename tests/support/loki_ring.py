"""Several real Lokis that are one ring, each at a loopback address of its own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from checks.harness.http import CLIENT
from checks.harness.s3 import ACCESS
from contracts import endpoints
from stack.components.loki.config import ADDRESS_VARIABLE
from stack.components.loki.settings import Logs
from tests.support.loki_process import LokiProcess
from tests.support.object_storage import Storage
from tests.support.peers import PeerFiles, PeerProxy

ADDRESSES: Final = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
_START_SECONDS: Final = 180
"""Limit of a start: none is ready before it knows that all others are, and a busy machine spreads that slowly."""
_INSIDE: Final = "127.0.2."
"""Addresses that stand for the loopback interfaces of the pods."""


class Member:
    """A Loki, and the proxy of its pod if the Lokis know each other by certificates."""

    def __init__(self, folder: Path, address: str, storage: Storage) -> None:
        """folder: for its files; it is created."""
        folder.mkdir()
        storage.trust(folder)
        self.address = address
        self._folder = folder
        self._inside = _INSIDE + address.rpartition(".")[2]
        self._proxy: PeerProxy | None = None
        settings = Logs(memory="256Mi", replicas=3, object_storage=storage.settings("logs"))
        self.loki = LokiProcess(folder, settings=settings, environment={**ACCESS, ADDRESS_VARIABLE: address})
        self.use(None)

    def use(self, files: PeerFiles | None) -> None:
        """Sets, from the next start on, the certificate by which the Lokis know each other; None for none."""
        self._proxy = None
        self.loki.peers = files.tls if files else None
        members = [f"{each}:{endpoints.LOKI_GOSSIP_PORT}" for each in ADDRESSES]
        gossip: dict[str, object] = {"join_members": members, "node_name": self.address}
        if files:
            port = endpoints.LOKI_GOSSIP_PORT
            self._proxy = PeerProxy(files, self._folder, self.address, self._inside, port)
            gossip |= {"bind_addr": [self._inside]}
        # A Loki has the name of its host in the ring, and all are on this one.
        ring = {"kvstore": {"store": "memberlist"}, "instance_id": self.address}
        self.loki.change("48h", memberlist=gossip, common={"ring": ring})

    def start(self) -> None:
        """Returns when it is ready."""
        if self._proxy:
            self._proxy.start()
        self.loki.start(seconds=_START_SECONDS)

    def stop(self) -> None:
        """Stops it as Kubernetes does."""
        self.loki.stop()
        if self._proxy:
            self._proxy.stop()

    def kill(self) -> None:
        """Ends it at once."""
        self.loki.kill()
        if self._proxy:
            self._proxy.stop()


@contextmanager
def loki_ring(folder: Path, storage: Storage, files: PeerFiles | None = None) -> Iterator[list[Member]]:
    """Runs three, which know each other by a certificate if there is one."""
    members = [Member(folder / address, address, storage) for address in ADDRESSES]
    try:
        for member in members:
            member.use(files)
        with ThreadPoolExecutor() as executor:
            list(executor.map(Member.start, members))
        yield members
    finally:
        for member in members:
            member.kill()


def knows_three(loki: LokiProcess) -> bool:
    """Whether three active Lokis are in its ring."""
    answer = CLIENT.get(f"{loki.url}/ring", headers={"Accept": "application/json"}, timeout=10)
    return [shard["state"] for shard in answer.json()["shards"]] == ["ACTIVE"] * 3
