"""Folders that may not exist."""

from pathlib import Path

from local.paths import existing


def test_the_nearest_folder_that_exists_stands_for_one_that_does_not(tmp_path: Path) -> None:
    assert existing(tmp_path) == tmp_path
    assert existing(tmp_path / "a" / "b") == tmp_path
    assert existing(Path("/proc/none/cache")) == Path("/proc")
