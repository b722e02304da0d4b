"""A cache of layers: each has a key, the hash of its inputs."""

import json
from contextlib import AbstractContextManager
from pathlib import Path

from local.archive import Layer, Tree
from local.files import exclusive_lock, write_text
from local.jobs import Progress
from local.paths import Home

_LOCK_LIMIT = 1800.0


class LayerCache:
    """A directory of layers. Of each name, it keeps the newest layer only."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or Home.default().images

    def get(self, name: str, key: str) -> Layer | None:
        """The layer of that name; None if there is none, or if it has another key."""
        record = self._record(name)
        try:
            entry = json.loads(record.read_text())
            path = record.with_name(entry["file"])
            if entry["key"] == key and path.stat().st_size == entry["size"]:
                return Layer(path=path, digest=entry["digest"], size=entry["size"])
        except (OSError, ValueError, KeyError):
            pass
        return None

    def put(self, name: str, key: str, tree: Tree) -> Layer:
        """Writes the layer and deletes the previous one of that name."""
        layers = self._record(name).parent
        layer = tree.write(layers / f"{name}-{key[:12]}.tar")
        entry = {"key": key, "file": layer.path.name, "digest": layer.digest, "size": layer.size}
        write_text(self._record(name), json.dumps(entry))
        for old in layers.glob(f"{name}-????????????.tar"):
            if old != layer.path:
                old.unlink(missing_ok=True)
        return layer

    def scratch(self) -> Path:
        """A directory for temporary files, on the same file system as the layers."""
        path = self.directory / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self, name: str, progress: Progress) -> AbstractContextManager[None]:
        """A lock that one job of all processes holds at a time."""
        file = self.directory / f"{name}.lock"
        return exclusive_lock(file, progress, holder=f"another job that makes {name} layers", timeout=_LOCK_LIMIT)

    def _record(self, name: str) -> Path:
        return self.directory / "layers" / f"{name}.json"
