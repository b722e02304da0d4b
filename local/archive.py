"""Writes container images: layers from files, and archives for `ctr`, `docker load` and `podman load`.

The same files give the same bytes: entries are sorted, have no times, and belong to root by default. So the digest of
an image is known before its archive is written, and the node stores a layer of several images once.
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
from local.files import replace_file

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}  # macOS calls the second one arm64
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def architecture() -> str:
    """The name that images use for this machine's architecture.

    Raises:
        Failure: this machine's architecture is not supported.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise Failure(f"images can be built on {', '.join(_ARCHITECTURES)}; this machine is {machine}.")
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
    """The files of one layer, by their path in the image. Missing parent directories are added."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def file(self, path: str, content: bytes | str | Path, *, mode: int = 0o644, owner: int = 0) -> None:
        """Adds a regular file from bytes, text, or a file of the host (read when the layer is written)."""
        data = content.encode() if isinstance(content, str) else content
        self._entries[_relative(path)] = _Entry(tarfile.REGTYPE, mode, owner, data)

    def directory(self, path: str, *, mode: int = 0o755, owner: int = 0) -> None:
        """Adds a directory, which may be empty."""
        self._entries[_relative(path)] = _Entry(tarfile.DIRTYPE, mode, owner)

    def symlink(self, path: str, target: str) -> None:
        """Adds a symbolic link."""
        self._entries[_relative(path)] = _Entry(tarfile.SYMTYPE, 0o777, target=target)

    def copy(self, source: Path, path: str = "", *, keep: Callable[[str], bool] = lambda _: True) -> None:
        """Adds a directory of the host with its content and modes, without devices, sockets and pipes.

        Args:
            source: the directory of the host.
            path: its place in the image.
            keep: is called with paths below `source`; if it returns false, the path and all below it is left out.
        """
        for folder, folders, files in os.walk(source):
            folders[:] = [name for name in folders if keep(str((Path(folder) / name).relative_to(source)))]
            for name in (*folders, *files):
                original = Path(folder) / name
                relative = original.relative_to(source)
                if not keep(str(relative)):
                    continue
                target = str(PurePosixPath(path) / relative)
                status = original.lstat()
                mode = stat.S_IMODE(status.st_mode)
                if stat.S_ISLNK(status.st_mode):
                    self.symlink(target, str(original.readlink()))
                elif stat.S_ISDIR(status.st_mode):
                    self.directory(target, mode=mode)
                elif stat.S_ISREG(status.st_mode):
                    self.file(target, original, mode=mode)

    def subtract(self, paths: Collection[str]) -> "Tree":
        """The same files without those paths: for a layer above one that has them."""
        rest = Tree()
        rest._entries = {path: entry for path, entry in self._entries.items() if path not in paths}
        return rest

    def paths(self) -> list[str]:
        """The paths of all files, sorted."""
        return sorted(self._entries)

    def write(self, target: Path) -> Layer:
        """Writes the layer."""
        entries = dict(self._entries)
        for path in self._entries:
            for parent in PurePosixPath(path).parents:
                if str(parent) != "." and str(parent) not in entries:
                    entries[str(parent)] = _Entry(tarfile.DIRTYPE, 0o755)
        with replace_file(target) as unfinished:
            with unfinished.open("wb") as file:
                hashing = _Hashing(file)
                with tarfile.open(fileobj=cast(BinaryIO, hashing), mode="w", format=tarfile.GNU_FORMAT) as tar:
                    for path in sorted(entries):
                        _add(tar, path, entries[path])
            return Layer(path=target, digest=f"sha256:{hashing.hash.hexdigest()}", size=unfinished.stat().st_size)


@dataclass(frozen=True, kw_only=True)
class Image:
    """Layers, lowest first, and how a container starts from them."""

    reference: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_directory: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of its manifest, which a node uses."""
        return _digest(self._manifest())

    def write(self, archive: Path, *, omit: Collection[str] = ()) -> None:
        """Writes an archive in OCI's layout, with Docker's manifest in addition, as `docker save` does.

        Args:
            archive: the file.
            omit: digests of layers that the archive need not have, since containerd's store has them.
        """
        manifest, config = self._manifest(), self._config()
        content: dict[str, bytes | Path] = {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json(self._index(manifest)),
            "manifest.json": _json(self._docker_manifest(config)),
            _blob(_digest(manifest)): manifest,
            _blob(_digest(config)): config,
        }
        content |= {_blob(layer.digest): layer.path for layer in self.layers if layer.digest not in omit}
        with replace_file(archive) as unfinished, tarfile.open(unfinished, "w") as tar:
            for path, data in content.items():
                _add(tar, path, _Entry(tarfile.REGTYPE, 0o644, content=data))

    def _index(self, manifest: bytes) -> dict[str, Any]:
        return {
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

    def _docker_manifest(self, config: bytes) -> list[dict[str, Any]]:
        layers = [_blob(layer.digest) for layer in self.layers]
        return [{"Config": _blob(_digest(config)), "RepoTags": [self.reference], "Layers": layers}]

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


def write_program_archive(archive: Path, reference: str, program: Path) -> None:
    """Writes an archive of an image that holds one static program, at /<its name>."""
    tree = Tree()
    tree.file(program.name, program, mode=0o755)
    layer = tree.write(archive.with_name(f"{archive.name}.layer"))
    try:
        Image(reference=reference, layers=(layer,), entrypoint=(f"/{program.name}",), user="65535:65535").write(archive)
    finally:
        layer.path.unlink()


class _Hashing:
    """A file to write to, which hashes what is written."""

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


def _relative(path: str) -> str:
    relative = PurePosixPath(path.lstrip("/"))
    if ".." in relative.parts or str(relative) == ".":
        raise ValueError(f"not a path inside an image: {path!r}")
    return str(relative)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
