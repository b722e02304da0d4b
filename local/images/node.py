"""The node's image store, as far as making images needs it, and a record of what we put there."""

import json
import os
import socket
import ssl
import subprocess
import threading
from dataclasses import asdict, dataclass
from typing import Protocol

from local.cluster import Cluster
from local.containerd import NAMESPACE
from local.failure import Failure
from local.images.archive import Image
from local.jobs import Progress
from local.paths import Home

CONNECT_LIMIT = 3.0  # seconds: a firewall that drops packets must not delay the start
PULL_LIMIT = 600.0


class Node(Protocol):
    """What a node can do with images. `digests` and `load` and `pull` need the cluster to be up."""

    def digests(self) -> dict[str, str]:
        """The digest of every image by its reference."""
        ...

    def load(self, progress: Progress, image: Image) -> None:
        """Imports an image that was made here."""
        ...

    def pull(self, progress: Progress, reference: str) -> None:
        """Pulls from the image's registry; Failure if that does not work within PULL_LIMIT."""
        ...

    def reaches(self, reference: str) -> bool:
        """Whether the image's registry answers, asked once for each registry."""
        ...


class LocalNode:
    """The node of the local cluster."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._cluster = Cluster(home)
        self._reachable: dict[str, bool] = {}
        self._lock = threading.Lock()

    def digests(self) -> dict[str, str]:
        rows = (line.split() for line in self._ctr("images", "list").splitlines()[1:])
        return {row[0]: row[2] for row in rows if len(row) > 2}

    def load(self, progress: Progress, image: Image) -> None:
        # Layers that the node has are not given again: with them, a changed service takes 5 s, without 0.3 s.
        there = set(self._ctr("content", "list", "--quiet").split())
        try:
            self._import(progress, image, there)
        except Failure as failure:  # for one, if the node's garbage collection removed one of them just now
            if not there.intersection(layer.digest for layer in image.layers):
                raise
            progress.note(f"importing all layers: {failure}")
            self._import(progress, image, set())

    def _import(self, progress: Progress, image: Image, without: set[str]) -> None:
        archive = self._home.images / f"{os.getpid()}-{image.digest[7:19]}.tar"
        try:
            progress.step("writing the archive")
            image.write(archive, without=without)
            progress.step("importing into the node")
            self._cluster.load_image(progress, archive)
        finally:
            archive.unlink(missing_ok=True)

    def _ctr(self, *arguments: str) -> str:
        socket_path = self._home.run / "containerd.sock"
        if not socket_path.exists():
            raise Failure("the local cluster is down. Bring it up with `./wct cluster up`.")
        command = ["ctr", "--address", str(socket_path), "--namespace", NAMESPACE, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if result.returncode != 0:
            raise Failure(f"`ctr {' '.join(arguments[:2])}` failed: {result.stderr.strip()}")
        return result.stdout

    def pull(self, progress: Progress, reference: str) -> None:
        progress.step(f"pulling {reference}")
        self._cluster.image_pull(progress, reference, PULL_LIMIT)

    def reaches(self, reference: str) -> bool:
        registry = reference.partition("/")[0]
        with self._lock:
            if registry not in self._reachable:
                self._reachable[registry] = registry != "localhost" and answers(registry)
            return self._reachable[registry]


def answers(host: str) -> bool:
    """Whether a registry completes a TLS handshake within CONNECT_LIMIT. A proxy's variables stand for yes."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")):
        return True  # containerd goes through it, and only it knows what lies behind
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

    # In a thread, since resolving a name has no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_LIMIT)
    return result


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How an image came into the node, and which digest it had then."""

    source: str
    detail: str
    digest: str


class ImageRecord:
    """The images that were imported into the node, by reference. Its file is deleted with the node's image store."""

    def __init__(self, home: Home) -> None:
        self._file = home.containerd / "images.json"
        self._lock = threading.Lock()

    def get(self, reference: str) -> Entry | None:
        """The entry of that reference, if we put the image there."""
        entry = self._read().get(reference)
        return Entry(**entry) if entry else None

    def put(self, reference: str, entry: Entry) -> None:
        """Replaces the entry."""
        with self._lock:
            entries = self._read() | {reference: asdict(entry)}
            self._file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._file.with_suffix(f".{os.getpid()}")
            unfinished.write_text(json.dumps(entries, indent=1, sort_keys=True))
            unfinished.rename(self._file)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            entries = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}
