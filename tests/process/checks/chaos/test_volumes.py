"""A small volume hides the files of a volume, can be filled, and leaves nothing."""

import os
from pathlib import Path

import pytest

from checks.chaos.volumes import SmallVolume

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")


def test_a_small_volume_is_filled_emptied_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o750)
    (folder / "queue").write_text("spans")
    volume = SmallVolume(folder)
    volume.mount(16)
    try:
        assert folder.stat().st_mode & 0o7777 == 0o750
        assert not (folder / "queue").exists()
        volume.fill()
        with pytest.raises(OSError, match="No space left on device"):
            (folder / "queue").write_bytes(bytes(4096))
        volume.empty()
        (folder / "queue").write_bytes(bytes(4096))
    finally:
        volume.unmount()
    assert (folder / "queue").read_text() == "spans"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_unmount_where_nothing_is_mounted_does_nothing(tmp_path: Path) -> None:
    SmallVolume(tmp_path).unmount()
    assert list(tmp_path.iterdir()) == []
