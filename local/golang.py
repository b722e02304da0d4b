"""Compiles Go programs: reproducibly, once, and never leaves a half-written binary where others look for it."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from local.failure import Failure
from local.jobs import Progress

# A Go toolchain that downloads another one, a parent workspace, or a git state would each change the result.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}

# Saves a tenth of the compile time of data that the linker drops. All programs are compiled with the same
# flags, so that they share compiled packages.
NO_DEBUG_DATA = "-gcflags=all=-dwarf=false"


def go_build(
    progress: Progress,
    module_dir: Path,
    output: Path,
    *,
    package: str = ".",
    ldflags: str = "",
    tags: Sequence[str] = (),
) -> bool:
    """Compiles `package` (a path, or an import path of a required module) of the module to `output`.

    Does nothing when `output` was made from the same sources by the same Go with the same flags; True if it built.
    Symbols are always stripped. go.mod and go.sum must be complete: the build never changes them.
    """
    if go_is_built(module_dir, output, package=package, ldflags=ldflags, tags=tags):
        return False
    stamp = _stamp(module_dir, package, ldflags, tags)
    stamp_file = _stamp_file(output)
    flags = ["-trimpath", NO_DEBUG_DATA, *([f"-tags={','.join(tags)}"] if tags else [])]
    packages = 0

    def count(_: str) -> None:
        nonlocal packages
        packages += 1
        if packages % 25 == 0:
            progress.step(f"resolved {packages} packages")

    # Listing fetches exactly the modules that the build needs. It waits for the network, so it does not take the cores.
    progress.step("fetching modules")
    progress.run(["go", "list", *flags, "-deps", package], cwd=module_dir, env=ENVIRONMENT, on_line=count)

    output.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(output)
    unfinished = output.with_name(f".{output.name}.{os.getpid()}")
    compiled = 0

    def follow(line: str) -> None:
        nonlocal compiled
        if " " not in line:  # -v prints one import path a line; anything else is a message
            compiled += 1
            progress.step(f"compiled {compiled} of {packages} packages")

    try:
        with progress.cores():
            progress.step("compiling")
            progress.run(
                ["go", "build", "-v", *flags, f"-ldflags=-s -w {ldflags}".rstrip(), "-o", unfinished, package],
                cwd=module_dir,
                env=ENVIRONMENT,
                on_line=follow,
            )
        stamp_file.unlink(missing_ok=True)  # so that an interruption never leaves a new stamp with an old binary
        unfinished.rename(output)
        stamp_file.write_text(stamp)
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def go_is_built(
    module_dir: Path, output: Path, *, package: str = ".", ldflags: str = "", tags: Sequence[str] = ()
) -> bool:
    """Whether `go_build` with the same arguments would do nothing."""
    if not os.access(output, os.X_OK):
        return False
    if not shutil.which("go"):
        return True  # it cannot be built here, so the existing one is used
    stamp_file = _stamp_file(output)
    return stamp_file.exists() and stamp_file.read_text() == _stamp(module_dir, package, ldflags, tags)


def go_version() -> str:
    """The toolchain's version, like "go1.26.8"."""
    if not shutil.which("go"):
        raise Failure("there is no `go` on PATH. Install Go 1.26 or newer.")
    environment = os.environ | ENVIRONMENT
    return subprocess.check_output(["go", "env", "GOVERSION"], text=True, env=environment).strip()


def _stamp(module_dir: Path, package: str, ldflags: str, tags: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in (go_version(), package, ldflags, ",".join(tags), os.uname().machine):
        digest.update(part.encode() + b"\0")
    for file in sorted(path for path in module_dir.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(module_dir)).encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _stamp_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.stamp")


def _remove_abandoned(output: Path) -> None:
    """Removes what a killed build left behind: it is named after a process that is no more."""
    for file in output.parent.glob(f".{output.name}.*"):
        if not Path(f"/proc/{file.suffix[1:]}").exists():
            file.unlink(missing_ok=True)
