"""Layers that were made before, kept by the hash of what they were made from."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.images.archive import Layer, Tree
from local.jobs import Progress
from local.paths import Home

_LOCK_LIMIT = 1800.0


class LayerCache:
    """A directory of layers; of each name only the newest is kept."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or Home.default().images

    def get(self, name: str, key: str) -> Layer | None:
        """The layer of that name if it was made from `key`."""
        record = self._record(name)
        try:
            known = json.loads(record.read_text())
            path = record.with_name(known["file"])
            if known["key"] == key and path.stat().st_size == known["size"]:
                return Layer(path=path, digest=known["digest"], size=known["size"])
        except (OSError, ValueError, KeyError):
            pass
        return None

    def put(self, name: str, key: str, tree: Tree) -> Layer:
        """Writes the layer and forgets the one before it."""
        layers = self._record(name).parent
        layer = tree.write(layers / f"{name}-{key[:12]}.tar")
        known = {"key": key, "file": layer.path.name, "digest": layer.digest, "size": layer.size}
        unfinished = self._record(name).with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(known))
        unfinished.rename(self._record(name))
        for old in layers.glob(f"{name}-????????????.tar"):
            if old != layer.path:
                old.unlink(missing_ok=True)
        return layer

    def scratch(self) -> Path:
        """A directory for work in progress, on the same file system as the layers."""
        path = self.directory / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def lock(self, name: str, progress: Progress) -> Iterator[None]:
        """One at a time, over all jobs and all processes; ends with the process that holds it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / f"{name}.lock").open("w") as file:

            def acquire() -> bool:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True

            if not acquire():
                progress.wait(f"another job that makes {name} layers", acquire, timeout=_LOCK_LIMIT)
            yield

    def _record(self, name: str) -> Path:
        return self.directory / "layers" / f"{name}.json"
