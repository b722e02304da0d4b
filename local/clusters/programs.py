"""Runs programs of the machine for what they print."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

ANSWER_SECONDS: Final = 10


def answer(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, seconds: float = ANSWER_SECONDS
) -> str | None:
    """Returns what a program prints; None if it is not on PATH, fails, or does not end within `seconds`.

    Args:
        command: program and arguments.
        env: variables in addition to those of this process.
        seconds: the limit.
    """
    environment = {**os.environ, **(env or {})}
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, errors="replace", env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
