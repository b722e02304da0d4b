"""Container images without a builder: layers from files, and archives for `ctr`, `docker load` and `podman load`.

The same files give the same bytes: entries are sorted, without times, owned by root by default. So an
image's digest is known before its archive is written, and equal layers of several images are stored once in the node.
"""

import hashlib
import io
import json
import os
import platform
import stat
import tarfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from local.failure import Failure

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def architecture() -> str:
    """This machine's architecture as images name it; Failure where there is no name for it."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise Failure(f"images are made for {', '.join(_ARCHITECTURES)}; this machine is {machine}.")
    return _ARCHITECTURES[machine]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A written layer: an uncompressed tar file and its digest ("sha256:…")."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True)
class _Entry:
    kind: bytes
    mode: int
    owner: int = 0
    content: bytes | Path = b""
    target: str = ""


class Tree:
    """The files of one layer, by their path in the image. Directories above them come by themselves."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def file(self, path: str, content: bytes | str | Path, *, mode: int = 0o644, owner: int = 0) -> None:
        """A regular file, from bytes, text, or a file of the host (read when the layer is written)."""
        data = content.encode() if isinstance(content, str) else content
        self._entries[_inside(path)] = _Entry(tarfile.REGTYPE, mode, owner, data)

    def directory(self, path: str, *, mode: int = 0o755, owner: int = 0) -> None:
        """A directory, also an empty one."""
        self._entries[_inside(path)] = _Entry(tarfile.DIRTYPE, mode, owner)

    def symlink(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._entries[_inside(path)] = _Entry(tarfile.SYMTYPE, 0o777, target=target)

    def copy(self, source: Path, target: str = "", *, keep: Callable[[str], bool] = lambda _: True) -> None:
        """Copy a host directory to `target`. `keep` sees paths below `source`; a refused directory is not copied.

        Devices, sockets and pipes are left out.
        """
        for folder, folders, files in os.walk(source):
            folders[:] = [name for name in folders if keep(str((Path(folder) / name).relative_to(source)))]
            for name in (*folders, *files):
                path = Path(folder) / name
                inside = path.relative_to(source)
                if not keep(str(inside)):
                    continue
                here = str(PurePosixPath(target) / inside)
                status = path.lstat()
                mode = stat.S_IMODE(status.st_mode)
                if stat.S_ISLNK(status.st_mode):
                    self.symlink(here, str(path.readlink()))
                elif stat.S_ISDIR(status.st_mode):
                    self.directory(here, mode=mode)
                elif stat.S_ISREG(status.st_mode):
                    self.file(here, path, mode=mode)

    def subtract(self, paths: Collection[str]) -> "Tree":
        """The same files without those paths: a layer over another one that has them."""
        rest = Tree()
        rest._entries = {path: entry for path, entry in self._entries.items() if path not in paths}
        return rest

    def paths(self) -> list[str]:
        """Everything that was put in, sorted."""
        return sorted(self._entries)

    def write(self, target: Path) -> Layer:
        """Writes the layer; `target` is there only when it is complete."""
        entries = dict(self._entries)
        for path in self._entries:
            for parent in PurePosixPath(path).parents:
                if str(parent) != "." and str(parent) not in entries:
                    entries[str(parent)] = _Entry(tarfile.DIRTYPE, 0o755)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                hashing = _Hashing(file)
                with tarfile.open(fileobj=cast(BinaryIO, hashing), mode="w", format=tarfile.GNU_FORMAT) as tar:
                    for path in sorted(entries):
                        _add(tar, path, entries[path])
            layer = Layer(path=target, digest=f"sha256:{hashing.hash.hexdigest()}", size=unfinished.stat().st_size)
            unfinished.rename(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return layer


@dataclass(frozen=True, kw_only=True)
class Image:
    """Layers, lowest first, and how a container of them starts."""

    reference: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_directory: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of its manifest: the one by which a node knows it."""
        return _digest(self._manifest())

    def write(self, archive: Path, *, without: Collection[str] = ()) -> None:
        """Writes a loadable archive: OCI's layout and docker's manifest, as `docker save` does.

        Layers `without` (their digests) are left out: for containerd, which takes the ones that it has from its store.
        """
        manifest, config = self._manifest(), self._config()
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": _MANIFEST_TYPE,
                    "digest": _digest(manifest),
                    "size": len(manifest),
                    "annotations": {
                        "io.containerd.image.name": self.reference,
                        "org.opencontainers.image.ref.name": self.reference.rpartition(":")[2],
                    },
                    "platform": {"architecture": architecture(), "os": "linux"},
                }
            ],
        }
        legacy = [
            {
                "Config": _blob(_digest(config)),
                "RepoTags": [self.reference],
                "Layers": [_blob(layer.digest) for layer in self.layers],
            }
        ]
        content: dict[str, bytes | Path] = {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json(index),
            "manifest.json": _json(legacy),
            _blob(_digest(manifest)): manifest,
            _blob(_digest(config)): config,
        }
        content |= {_blob(layer.digest): layer.path for layer in self.layers if layer.digest not in without}
        archive.parent.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_name(f".{archive.name}.{os.getpid()}")
        try:
            with tarfile.open(unfinished, "w") as tar:
                for path, data in content.items():
                    _add(tar, path, _Entry(tarfile.REGTYPE, 0o644, content=data))
            unfinished.rename(archive)
        finally:
            unfinished.unlink(missing_ok=True)

    def _manifest(self) -> bytes:
        config = self._config()
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST_TYPE,
                "config": {"mediaType": _CONFIG_TYPE, "digest": _digest(config), "size": len(config)},
                "layers": [
                    {"mediaType": _LAYER_TYPE, "digest": layer.digest, "size": layer.size} for layer in self.layers
                ],
            }
        )

    def _config(self) -> bytes:
        environment = {"PATH": PATH} | dict(self.environment)
        return _json(
            {
                "architecture": architecture(),
                "os": "linux",
                "config": {
                    "Entrypoint": list(self.entrypoint),
                    "Env": [f"{name}={value}" for name, value in sorted(environment.items())],
                    "User": self.user,
                    "WorkingDir": self.working_directory,
                    "Labels": dict(sorted(self.labels.items())),
                },
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
            }
        )


class _Hashing:
    """A file to write to that hashes what passes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()


def _add(tar: tarfile.TarFile, path: str, entry: _Entry) -> None:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.target
    info.uid = info.gid = entry.owner
    if isinstance(entry.content, Path):
        with entry.content.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, file)
    else:
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))


def _inside(name: str) -> str:
    path = PurePosixPath(name.lstrip("/"))
    if ".." in path.parts or str(path) == ".":
        raise ValueError(f"not a path inside an image: {name!r}")
    return str(path)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
