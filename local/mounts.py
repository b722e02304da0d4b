"""Finds and removes the mounts below a directory."""

import ctypes
import os
import re
from pathlib import Path

DETACH = 2  # MNT_DETACH: removes the mount at once, even if a process uses it


def below(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> list[Path]:
    """Every mount point below `directory`, in the order they were mounted (one point may occur several times)."""
    points = []
    for line in mounts.read_text().splitlines():
        point = Path(_unescape(line.split()[1]))
        if point.is_relative_to(directory):
            points.append(point)
    return points


def unmount_below(directory: Path) -> list[Path]:
    """Unmounts everything below `directory`, last mounted first. Returns the mount points that remain."""
    library = ctypes.CDLL(None, use_errno=True)
    for point in reversed(below(directory)):
        library.umount2(os.fsencode(point), DETACH)
    return below(directory)


def _unescape(text: str) -> str:
    """Decodes the kernel's three octal digits for blanks and the like."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
