"""Small file systems in place of a pod's volume, which can be filled to the last byte."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.polling import poll_until


@dataclass(frozen=True)
class SmallVolume:
    """A small file system at the path of a volume. The files of the volume are hidden while it is mounted."""

    path: Path

    @property
    def _image(self) -> Path:
        return self.path.with_name(f"{self.path.name}.image")

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def mount(self, mebibytes: int, features: str = "") -> None:
        """Mounts it, empty, for the pods that start from now on; `features` as `mkfs.ext4 -O` knows them."""
        owner = self.path.stat()
        with self._image.open("wb") as file:
            file.truncate(mebibytes * 2**20)
        options = ["-O", features] if features else []
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", *options, str(self._image)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.path)], check=True, capture_output=True)
        os.chown(self.path, owner.st_uid, owner.st_gid)
        self.path.chmod(owner.st_mode & 0o7777)

    def unmount(self) -> None:
        """Removes it with its files. Does nothing where it is not mounted."""
        if self.path.is_mount():
            # Right after its last process has ended, the file system may still be in use.
            poll_until("the small volume to be unmounted", self._is_unmounted, seconds=60, every=0.25, look_at="mount")
        self._image.unlink(missing_ok=True)

    def _is_unmounted(self) -> bool:
        return subprocess.run(["umount", str(self.path)], check=False, capture_output=True).returncode == 0

    def fill(self) -> None:
        """Fills it to the last byte."""
        with self._ballast.open("wb") as file:
            end, size = 0, shutil.disk_usage(self.path).free
            # The file system needs an unknown number of blocks for itself.
            while size >= 1024:
                try:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Removes what `fill` wrote."""
        self._ballast.unlink(missing_ok=True)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Fills it to the last byte while the context is open."""
        self.fill()
        try:
            yield
        finally:
            self.empty()
