"""Compiles Go programs. Builds are reproducible, are skipped if nothing changed, and replace the binary at the end."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from local.failure import Failure
from local.files import replace_file
from local.jobs import Progress

# The result must not depend on another toolchain that Go downloads, on a workspace above, or on the state of git.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}

# Without data that the linker drops, a build takes a tenth less time. All programs have the same flags, so that they
# share compiled packages.
_NO_DEBUG_DATA = "-dwarf=false"
_NO_INLINING = "-l"
# Two more than cores: a package in compilation sometimes waits for the disk.
_PACKAGES_AT_ONCE = f"-p={(os.cpu_count() or 1) + 2}"


def go_build(
    progress: Progress,
    module_dir: Path,
    output: Path,
    *,
    package: str = ".",
    ldflags: str = "",
    tags: Sequence[str] = (),
    quickly: Sequence[str] = (),
) -> bool:
    """Compiles a program, unless `output` was built from the same sources by the same Go with the same flags.

    Symbols are stripped. go.mod and go.sum must be complete, since the build does not change them.

    Args:
        progress: shows the steps.
        module_dir: directory of the module.
        output: the binary.
        package: path in the module, or import path in a module that it requires.
        ldflags: flags of the linker.
        tags: build tags.
        quickly: patterns of packages whose functions are not inlined: they take about a sixth less time to compile.

    Returns:
        Whether it was compiled.
    """
    if go_is_built(module_dir, output, package=package, ldflags=ldflags, tags=tags):
        return False
    stamp = _stamp(module_dir, package, ldflags, tags)
    stamp_file = _stamp_file(output)
    flags = ["-trimpath", f"-gcflags=all={_NO_DEBUG_DATA}"]
    flags += [f"-gcflags={pattern}={_NO_DEBUG_DATA} {_NO_INLINING}" for pattern in quickly]
    flags += [f"-tags={','.join(tags)}"] if tags else []
    packages = _fetch_modules(progress, module_dir, package, flags)
    _remove_abandoned(output)
    compiled = 0

    def follow(line: str) -> None:
        nonlocal compiled
        if " " not in line:  # -v prints one import path a line; anything else is a message
            compiled += 1
            progress.step(f"compiled {compiled} of {packages} packages")

    with replace_file(output) as unfinished:
        with progress.cores():
            progress.step("compiling")
            flags += ["-v", _PACKAGES_AT_ONCE, f"-ldflags=-s -w {ldflags}".rstrip()]
            progress.run(
                ["go", "build", *flags, "-o", unfinished, package],
                cwd=module_dir,
                env=ENVIRONMENT,
                on_line=follow,
            )
        stamp_file.unlink(missing_ok=True)  # an interruption here must not leave the old stamp with the new binary
    stamp_file.write_text(stamp)
    return True


def go_is_built(
    module_dir: Path, output: Path, *, package: str = ".", ldflags: str = "", tags: Sequence[str] = ()
) -> bool:
    """Whether `go_build` with the same arguments would do nothing."""
    if not os.access(output, os.X_OK):
        return False
    if not shutil.which("go"):
        return True  # this machine cannot build it, so it uses the existing one
    stamp_file = _stamp_file(output)
    return stamp_file.exists() and stamp_file.read_text() == _stamp(module_dir, package, ldflags, tags)


def go_version() -> str:
    """The toolchain's version, like "go1.26.8".

    Raises:
        Failure: there is no `go`, or it does not run.
    """
    if not shutil.which("go"):
        raise Failure("there is no `go` on PATH. Install Go 1.26 or newer.")
    environment = os.environ | ENVIRONMENT
    ended = subprocess.run(["go", "env", "GOVERSION"], stdout=subprocess.PIPE, text=True, env=environment)
    if ended.returncode == 0 and ended.stdout.strip():
        return ended.stdout.strip()
    raise Failure("`go env GOVERSION` prints no version. Install Go 1.26 or newer.")


def _fetch_modules(progress: Progress, module_dir: Path, package: str, flags: Sequence[str]) -> int:
    """Fetches the modules that the build needs, which waits for the network. Returns the number of packages."""
    packages = 0

    def count(_: str) -> None:
        nonlocal packages
        packages += 1
        if packages % 25 == 0:
            progress.step(f"resolved {packages} packages")

    progress.step("fetching modules")
    progress.run(["go", "list", *flags, "-deps", package], cwd=module_dir, env=ENVIRONMENT, on_line=count)
    return packages


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
    """Removes the files of builds that were killed. Their names end with the id of a process that does not run."""
    for file in output.parent.glob(f".{output.name}.*"):
        if not Path(f"/proc/{file.suffix[1:]}").exists():
            file.unlink(missing_ok=True)
