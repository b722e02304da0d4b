"""A release runs with the Python packages of its own lock file."""

import hashlib
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from checks.upgrade.release import LOCK, Release, UpgradeError, environment_of
from local.paths import HOME_VARIABLE
from stack.settings import ROOT


def locked_release(folder: Path, version: str) -> Release:
    """Write a release whose program prints the version of its only package, and return it."""
    (folder / "cli").mkdir(parents=True)
    (folder / "cli" / "__main__.py").write_text("import greeting, sys\nprint(greeting.VERSION, sys.argv[1:])\n")
    wheel = folder / f"greeting-{version}-py3-none-any.whl"
    metadata = f"greeting-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as files:
        files.writestr("greeting.py", f'VERSION = "{version}"\n')
        files.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n")
        files.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr(f"{metadata}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / LOCK).write_text(f"greeting @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    return Release(name=version, folder=folder, environment=environment_of(folder))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def test_a_release_is_deployed_with_the_packages_of_its_lock_file(tmp_path: Path) -> None:
    first = locked_release(tmp_path / "first", "1.0")
    assert first.deploy() == "1.0 ['deploy', 'local', '--no-smoke']\n"
    installed = first.environment / "installed"
    written = installed.stat().st_mtime_ns
    assert environment_of(first.folder) == first.environment
    assert installed.stat().st_mtime_ns == written, "packages that are there are not installed again"

    second = locked_release(tmp_path / "second", "2.0")
    assert second.deploy().startswith("2.0 ")
    (second.folder / "cli" / "__main__.py").write_text("import pulumi\n")
    with pytest.raises(UpgradeError, match="No module named 'pulumi'"):
        second.deploy()


def test_a_release_with_the_same_lock_file_uses_the_environment_that_is_there(tmp_path: Path) -> None:
    shutil.copy(ROOT / LOCK, tmp_path)
    assert environment_of(tmp_path) == Path(sys.prefix)
    assert not (tmp_path / "home").exists()
