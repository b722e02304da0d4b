"""Tools that others maintain, each in versions of its own: Go programs that are compiled, and Python environments."""

import hashlib
import subprocess
import sys
from pathlib import Path

from local.golang import go_build
from local.jobs import Progress
from local.paths import Home
from stack.polling import CheckFailure


def go_tool(module: Path, package: str) -> Path:
    """Return a program, which is compiled if it has not been.

    Args:
        module: folder of a go.mod that requires it.
        package: its import path; the program is called like its last part that is no version.

    Raises:
        Failure: this machine cannot compile it.
    """
    home = Home.default()
    name = next(part for part in reversed(package.split("/")) if not part.removeprefix("v").isdigit())
    go_build(Progress(name, logs=home.logs), module, home.bin / name, package=package)
    return home.bin / name


def python_tools(name: str, lock: Path) -> Path:
    """Return the folder of the programs of an environment, which is made if its lock file has changed.

    Args:
        name: of the environment.
        lock: pinned packages with their hashes.

    Raises:
        Failure: a package cannot be installed.
    """
    home = Home.default()
    environment = home.root / "tools" / name
    stamp, digest = environment / "installed", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        progress = Progress(name, logs=home.logs)
        progress.run([sys.executable, "-m", "venv", "--clear", environment])
        install = ["-m", "pip", "install", "--quiet", "--no-compile", "--require-hashes", f"--requirement={lock}"]
        progress.run([environment / "bin" / "python", *install], timeout=900)
        stamp.write_text(digest)
    return environment / "bin"


def output_of(command: list[str | Path]) -> str:
    """Return what a checker prints; the exit code tells only whether it has findings.

    Raises:
        CheckFailure: it printed nothing.
    """
    result = subprocess.run(command, capture_output=True, text=True)
    if not result.stdout:
        raise CheckFailure(f"{Path(command[0]).name} printed nothing; its errors: {result.stderr[-2000:]}")
    return result.stdout
