"""The checkers: kubeconform and kube-score are compiled, checkov gets a Python environment of its own.

checkov needs about a hundred packages, in versions that the project's environment does not have.
"""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from local.golang import go_build
from local.jobs import Progress
from local.paths import Home
from stack.polling import CheckFailure

_MODULE: Final = Path(__file__).with_name("tools")
_LOCK: Final = _MODULE / "checkov.lock"
_PACKAGES: Final = {
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    "kube-score": "github.com/zegl/kube-score/cmd/kube-score",
}


def go_program(name: str) -> Path:
    """Return kubeconform or kube-score, which is compiled if it has not been.

    Raises:
        Failure: this machine cannot compile it.
    """
    home = Home.default()
    output = home.bin / name
    go_build(Progress(name, logs=home.logs), _MODULE, output, package=_PACKAGES[name])
    return output


def checkov() -> Path:
    """Return checkov, which is installed if the pinned packages have changed.

    Raises:
        Failure: a package cannot be installed.
    """
    home = Home.default()
    environment = home.root / "checkov"
    stamp, digest = environment / "installed", hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        progress = Progress("checkov", logs=home.logs)
        progress.run([sys.executable, "-m", "venv", "--clear", environment])
        install = ["-m", "pip", "install", "--quiet", "--no-compile", "--require-hashes", f"--requirement={_LOCK}"]
        progress.run([environment / "bin" / "python", *install], timeout=900)
        stamp.write_text(digest)
    return environment / "bin" / "checkov"


def output_of(command: list[str | Path]) -> str:
    """Return what a checker prints; the exit code tells only whether it has findings.

    Raises:
        CheckFailure: it printed nothing.
    """
    result = subprocess.run(command, capture_output=True, text=True)
    if not result.stdout:
        raise CheckFailure(f"{Path(command[0]).name} printed nothing; its errors: {result.stderr[-2000:]}")
    return result.stdout
