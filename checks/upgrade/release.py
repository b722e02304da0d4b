"""A release of this project out of its history, ready to be deployed."""

import contextlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from checks.harness.tools import python_tools
from checks.rollouts.versions import image_of
from contracts.errors import UserError
from local.jobs import Progress
from stack.settings import OVERLAY, PROJECT, ROOT

PREVIOUS: Final = "0953f58"
"""The release before this one; set again with each. Upgrades start from it, and roll-backs return to it."""
LOCK: Final = "requirements.lock"
_LIMIT_SECONDS: Final = 900.0


class UpgradeError(UserError):
    """A release cannot be deployed; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Code of a release in a folder, with this machine's settings of the local stack."""

    name: str
    folder: Path
    environment: Path
    """The virtual environment with the Python packages of its lock file."""

    def deploy(self) -> str:
        """Deploys it with its own program; returns what that printed.

        Raises:
            UpgradeError: that failed.
        """
        done = subprocess.run(
            [self.environment / "bin" / "python", "-m", *self._deploy_command()],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_SECONDS,
        )
        if done.returncode != 0:
            raise UpgradeError(f"release {self.name} could not be deployed:\n{done.stdout}")
        return done.stdout

    def _deploy_command(self) -> list[str]:
        """Releases before the one command line have a module for each command."""
        if (self.folder / "cli").is_dir():
            return ["cli", "deploy", "local", "--no-smoke"]
        return ["stack.deploy", "local"]


def current() -> Release:
    """The code as it is here; `make up` has made its image."""
    return Release(name="this one", folder=ROOT, environment=Path(sys.prefix))


def environment_of(folder: Path) -> Path:
    """Return a virtual environment with the packages that a release is locked to.

    It is the one of this process if the release has the same lock file. Otherwise it is made once, and kept.

    Raises:
        Failure: a package cannot be installed.
    """
    lock = folder / LOCK
    if lock.read_bytes() == (ROOT / LOCK).read_bytes():
        return Path(sys.prefix)
    return python_tools("previous-release", lock).parent


def known(reference: str) -> bool:
    """Whether the history here has a release; a shallow clone has none."""
    process = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], cwd=ROOT, capture_output=True
    )
    return process.returncode == 0


@contextlib.contextmanager
def checked_out(reference: str) -> Iterator[Release]:
    """A release of the history, with its image on the local node, while the context is open.

    Raises:
        UpgradeError: the history has no such release.
        Failure: its Python packages cannot be installed.
    """
    if not known(reference):
        raise UpgradeError(f"no release {reference} in this repository; `git fetch --unshallow` brings the history")
    archive = subprocess.run(["git", "archive", reference], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        folder = Path(scratch)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        image = image_of(folder, Progress("image"))
        overlay = yaml.safe_load((ROOT / OVERLAY).read_text())
        overlay["config"][f"{PROJECT}:images"] = {"service": image}
        (folder / OVERLAY).parent.mkdir(exist_ok=True)
        (folder / OVERLAY).write_text(yaml.safe_dump(overlay))
        environment = environment_of(folder)
        # Pulumi runs the program of a release in the environment of its folder.
        (folder / ".venv").symlink_to(environment)
        yield Release(name=reference, folder=folder, environment=environment)
