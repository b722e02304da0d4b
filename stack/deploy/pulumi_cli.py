"""Finds a Pulumi CLI, or installs one if its download site can be reached."""

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from typing import Final

from pulumi import automation as auto

from stack.errors import DeployError

_DOWNLOAD_HOST: Final = "get.pulumi.com"
_PROVIDER: Final = "kubernetes"


def find_pulumi(on_progress: Callable[[str], None]) -> auto.PulumiCommand | None:
    """Finds a Pulumi CLI that can run the program.

    Returns:
        None if there is none and it cannot be downloaded.

    Raises:
        DeployError: There is one, and it cannot be used.
    """
    if shutil.which("pulumi"):
        try:
            command = auto.PulumiCommand()
        except (auto.InvalidVersionError, OSError, subprocess.CalledProcessError) as error:
            raise DeployError(f"the Pulumi CLI on PATH cannot be used: {error}") from None
    else:
        if not _can_download():
            on_progress("no Pulumi CLI on PATH, and its download site cannot be reached")
            return None
        try:
            command = auto.PulumiCommand.install()
        except Exception as error:
            on_progress(f"the Pulumi CLI could not be installed: {error}")
            return None
    if not _has_provider(command.command):
        on_progress(
            f"the Pulumi CLI {command.version} has no kubernetes provider, and the download site cannot be reached"
        )
        return None
    return command


def _has_provider(command: str) -> bool:
    """Whether the provider is installed, or the CLI can download it."""
    if shutil.which(f"pulumi-resource-{_PROVIDER}"):
        return True
    listed = subprocess.run([command, "plugin", "ls", "--json"], capture_output=True, text=True, timeout=30)
    if listed.returncode == 0 and any(plugin["name"] == _PROVIDER for plugin in json.loads(listed.stdout or "[]")):
        return True
    return _can_download()


def _can_download() -> bool:
    try:
        socket.create_connection((_DOWNLOAD_HOST, 443), timeout=3).close()
    except OSError:
        return False
    return True
