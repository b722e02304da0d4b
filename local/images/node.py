"""The nodes' image stores, and a record of the images that this program put there."""

import json
import os
import socket
import ssl
import threading
from dataclasses import asdict, dataclass
from typing import Protocol

from local.archive import Image
from local.cluster import Cluster
from local.containerd import Containerd
from local.failure import Failure
from local.files import write_text
from local.jobs import Progress
from local.paths import Home

CONNECT_LIMIT = 3.0  # seconds; a firewall may drop packets instead of refusing the connection
PULL_LIMIT = 600.0


class Node(Protocol):
    """The images of the cluster's nodes. `digests`, `load` and `pull` need the cluster to be up."""

    def digests(self) -> dict[str, str]:
        """Reference → digest of every image that all nodes have."""
        ...

    def load(self, progress: Progress, image: Image) -> None:
        """Imports an image that was built on this machine."""
        ...

    def pull(self, progress: Progress, reference: str) -> None:
        """Pulls an image from its registry; raises Failure if that takes longer than PULL_LIMIT."""
        ...

    def reaches(self, reference: str) -> bool:
        """Whether the image's registry answers. Each registry is tried once."""
        ...


class LocalNode:
    """The nodes of the local cluster that run. A node that starts later gets the images of one that runs."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._cluster = Cluster(home)
        self._reachable: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._digests: dict[str, str] | None = None
        """None until they are read, and after each change: an `up` without a change asks a dozen times."""
        self._reading = threading.Lock()

    def digests(self) -> dict[str, str]:
        with self._reading:
            if self._digests is None:
                stores = self._cluster.containerds().values()
                first, *others = (set(containerd.digests().items()) for containerd in stores)
                self._digests = dict(first.intersection(*others))
            return self._digests

    def _forget_digests(self) -> None:
        with self._reading:
            self._digests = None

    def load(self, progress: Progress, image: Image) -> None:
        try:
            for containerd in self._cluster.containerds().values():
                self._load(progress, image, containerd)
        finally:
            self._forget_digests()

    def _load(self, progress: Progress, image: Image, containerd: Containerd) -> None:
        # The archive omits the layers that the node has: a changed service takes 0.3 s instead of 5 s.
        layers_of_node = set(containerd.ctr("content", "list", "--quiet").split())
        try:
            self._import(progress, image, containerd, layers_of_node)
        except Failure as failure:  # for example, the node's garbage collection has just removed a layer
            if not layers_of_node.intersection(layer.digest for layer in image.layers):
                raise
            progress.note(f"importing all layers, since the import without those of the node failed: {failure}")
            self._import(progress, image, containerd, set())

    def _import(self, progress: Progress, image: Image, containerd: Containerd, omit: set[str]) -> None:
        archive = self._home.images / f"{os.getpid()}-{image.digest[7:19]}.tar"
        try:
            progress.step("writing the archive")
            image.write(archive, omit=omit)
            progress.step("importing into the node")
            containerd.load(progress, archive)
        finally:
            archive.unlink(missing_ok=True)

    def pull(self, progress: Progress, reference: str) -> None:
        progress.step(f"pulling {reference}")
        try:
            for containerd in self._cluster.containerds().values():
                containerd.pull(progress, reference, PULL_LIMIT)
        finally:
            self._forget_digests()

    def reaches(self, reference: str) -> bool:
        registry = reference.partition("/")[0]
        with self._lock:
            if registry not in self._reachable:
                self._reachable[registry] = registry != "localhost" and answers(registry)
            return self._reachable[registry]


def answers(host: str) -> bool:
    """Whether a registry completes a TLS handshake within CONNECT_LIMIT; also true if there is a proxy."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")):
        return True  # containerd uses the proxy, and what the proxy reaches is unknown
    name, _, port = host.partition(":")
    result = False

    def connect() -> None:
        nonlocal result
        try:
            with (
                socket.create_connection((name, int(port or 443)), timeout=CONNECT_LIMIT) as plain,
                ssl.create_default_context().wrap_socket(plain, server_hostname=name),
            ):
                result = True
        except OSError:
            pass

    # In a thread, since the resolution of a name has no time limit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_LIMIT)
    return result


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where an image of the node came from, and its digest."""

    source: str
    detail: str
    digest: str


class ImageRecord:
    """Reference → entry of each image that this program put into the node.

    Its file is in the directory of the node's image store, so that both are deleted together.
    """

    def __init__(self, home: Home) -> None:
        self._file = home.containerd / "images.json"
        self._lock = threading.Lock()

    def get(self, reference: str) -> Entry | None:
        """The entry of a reference; None if this program did not put the image there."""
        entry = self._read().get(reference)
        return Entry(**entry) if entry else None

    def put(self, reference: str, entry: Entry) -> None:
        """Replaces the entry of a reference."""
        with self._lock:
            entries = self._read() | {reference: asdict(entry)}
            write_text(self._file, json.dumps(entries, indent=1, sort_keys=True))

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            entries = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}
