"""Copies of the checkout, in which a test types what a user types."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from contracts import secret_keys
from stack.settings import OVERLAY, ROOT

_LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv", ".local", ".*_cache", ".hypothesis", "__pycache__", "tests")
_SECONDS: Final = 600.0
_CHARACTERS: Final = 3000


def copy_checkout(target: Path) -> None:
    """Copy the files that a fresh clone has, without the tests.

    Args:
        target: the folder, which must not exist.
    """
    shutil.copytree(ROOT, target, ignore=_LEFT_OUT)


class Clone:
    """A copy of the checkout that has the Python environment of this one."""

    def __init__(self, path: Path, environment: Mapping[str, str] = os.environ) -> None:
        """Makes the copy.

        Args:
            path: its folder, which must not exist.
            environment: variables of the commands.
        """
        copy_checkout(path)
        (path / ".venv").symlink_to(sys.prefix)
        self.path = path
        self.environment = dict(environment)

    @classmethod
    def on_the_local_cluster(cls, path: Path) -> "Clone":
        """Make a copy that knows the cluster of `make up`, as if that had run in it."""
        clone = cls(path)
        (path / OVERLAY).parent.mkdir()
        shutil.copy(ROOT / OVERLAY, path / OVERLAY)
        return clone

    def declare(self, stack: str, config: Mapping[str, Any]) -> None:
        """Write the file of a stack."""
        (self.path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": dict(config)}))

    def run(
        self,
        *command: str,
        secrets: Mapping[str, str] | None = None,
        check: bool = True,
        seconds: float = _SECONDS,
    ) -> str:
        """Run a command, and return what it prints.

        Args:
            command: with its arguments.
            secrets: by their keys; the command has them in its variables.
            check: whether it must succeed.
            seconds: the limit.

        Raises:
            AssertionError: it failed, and `check` is set; the message has the end of what it printed.
        """
        variables = {secret_keys.variable(key): value for key, value in (secrets or {}).items()}
        process = subprocess.run(
            command,
            cwd=self.path,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        assert not check or process.returncode == 0, f"{' '.join(command)}\n{process.stdout[-_CHARACTERS:]}"
        return process.stdout
