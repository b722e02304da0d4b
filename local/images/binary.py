"""Packs a program on PATH into an image that replaces the official one."""

import hashlib
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local.archive import Image, Layer, Tree
from local.failure import Failure
from local.images.cache import LayerCache
from local.images.debian import BASE, Debian
from local.jobs import Progress

_RECIPE = 1
_PT_INTERP = 3
_CA_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/cert.pem"),
)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The image of one program: the path and the user that the official image has."""

    commands: tuple[str, ...]  # names of the program; the first one on PATH is taken
    program: str  # its place in the image
    user: int
    entrypoint: tuple[str, ...] = ()  # if it is not the program alone
    environment: tuple[tuple[str, str], ...] = ()
    home: str = ""  # the directory in the image for the files next to the program
    home_parts: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()  # that the user writes to

    def find(self) -> Path | None:
        """The program on PATH, links resolved."""
        for command in self.commands:
            if path := shutil.which(command):
                return Path(path).resolve()
        return None


def pack(progress: Progress, cache: LayerCache, name: str, packed: Packed, binary: Path, reference: str) -> Image:
    """An image of the program, with its libraries if it is not static, and its home if it has one."""
    with cache.lock(name, progress):
        key = _key(packed, binary)
        layer = cache.get(f"path-{name}", key)
        if not layer:
            progress.step(f"packing {binary}")
            layer = cache.put(f"path-{name}", key, _tree(packed, binary))
    below: tuple[Layer, ...] = () if is_static(binary) else Debian(cache).layers(progress, BASE)
    return Image(
        reference=reference,
        layers=(*below, layer),
        entrypoint=packed.entrypoint or (packed.program,),
        environment=dict(packed.environment),
        user=f"{packed.user}:{packed.user}",
        working_directory=packed.home or "/",
    )


def version(binary: Path) -> str | None:
    """The version that the program prints ("3.0.3"); None if it prints none."""
    for option in ("--version", "-version", "version"):
        try:
            result = subprocess.run([binary, option], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if result.returncode == 0 and (number := re.search(r"\d+\.\d+\.\d+\S*", result.stdout + result.stderr)):
            return number[0].rstrip(",;)")
    return None


def version_of(reference: str) -> str:
    """The version in an image's tag, without a `v` before it."""
    return reference.rpartition(":")[2].removeprefix("v")


def is_static(binary: Path) -> bool:
    """Whether a program needs no dynamic linker.

    Raises:
        Failure: it is not a 64-bit Linux program.
    """
    with binary.open("rb") as file:
        header = file.read(64)
        if header[:4] != b"\x7fELF" or header[4] != 2:
            raise Failure(f"{binary} is no 64-bit Linux program (a script?), so it cannot be packed into an image.")
        offset, size, count = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        file.seek(offset)
        table = file.read(size * count)
    return all(struct.unpack_from("<I", table, index * size)[0] != _PT_INTERP for index in range(count))


def libraries(binary: Path) -> list[Path]:
    """The shared libraries that the host's dynamic linker loads for a program, and the linker."""
    result = subprocess.run(["ldd", binary], capture_output=True, text=True)
    if result.returncode != 0 or "not found" in result.stdout:
        raise Failure(f"{binary} does not find its shared libraries here:\n{result.stdout}{result.stderr}")
    return [Path(path) for path in re.findall(r"(/\S+)", result.stdout)]


def _tree(packed: Packed, binary: Path) -> Tree:
    tree = Tree()
    if is_static(binary):
        bundle = next((file for file in _CA_BUNDLES if file.exists()), None)
        if bundle:
            tree.file("etc/ssl/certs/ca-certificates.crt", bundle)
        tree.file("etc/passwd", f"root:x:0:0::/:\napp:x:{packed.user}:{packed.user}::/:\n")
        tree.file("etc/group", f"root:x:0:\napp:x:{packed.user}:\n")
        tree.directory("tmp", mode=0o1777)
    else:
        # The libraries of the host, at their paths: the C library of the base layer may be too old for the program.
        for library in libraries(binary):
            tree.file(_without_links(library), library.resolve(), mode=0o755)
    tree.file(packed.program, binary, mode=0o755)
    for part in packed.home_parts:
        tree.copy(_home_of(packed, binary) / part, f"{packed.home}/{part}")
    for directory in packed.directories:
        tree.directory(directory, owner=packed.user)
    return tree


def _without_links(path: Path) -> str:
    """Resolves links in the directory: a layer with a directory /lib would replace the link /lib of a merged /usr."""
    return str(path.parent.resolve() / path.name)


def _home_of(packed: Packed, binary: Path) -> Path:
    for home in (binary.parent, binary.parent.parent, Path("/") / packed.home.lstrip("/")):
        for candidate in (home, home / "share" / Path(packed.home).name):
            if all((candidate / part).is_dir() for part in packed.home_parts):
                return candidate
    parts = " and ".join(f"{part}/" for part in packed.home_parts)
    raise Failure(f"{binary} needs its {parts}; they are neither next to it nor in ../share/{Path(packed.home).name}.")


def _key(packed: Packed, binary: Path) -> str:
    """A key from size and time, since the hash of some hundred MB takes seconds."""
    paths = [binary] if not packed.home_parts else [binary, *(_home_of(packed, binary) / p for p in packed.home_parts)]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(f"{_RECIPE} {packed} {stats}".encode()).hexdigest()
