"""The Python environment of the alternatives. The project's own does not have them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from checks.harness.tools import python_tools
from contracts.errors import UserError
from local.failure import Failure

LOCK: Final = Path(__file__).with_name("packages.lock")


class AlternativesNotInstalled(UserError):
    """A package of the alternatives cannot be installed; the message has the end of the installer's output."""


def interpreter(install: Callable[[str, Path], Path] = python_tools) -> Path:
    """Return the Python that has the alternatives. They are installed if they are not, or if the lock file has changed.

    Args:
        install: returns the folder of the programs of an environment, from its name and its lock file.

    Raises:
        AlternativesNotInstalled: a package cannot be installed.
    """
    try:
        return install("bench-alternatives", LOCK) / "python"
    except Failure as error:
        raise AlternativesNotInstalled(
            f"ddtrace and Logfire cannot be installed: {error}\n"
            "`wct check bench` measures the other variants without --alternatives"
        ) from None
