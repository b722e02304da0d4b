"""The services' image is the same on each machine, in each folder and at each time."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.images.service import ROOT, code_files
from tests.support.programs import require_program

BUILD = """
import sys
from pathlib import Path
{imports}
from local.images import service
from local.images.cache import LayerCache
from local.jobs import Progress

directory, source = Path(sys.argv[1]), Path(sys.argv[2])
progress, cache = Progress("build", logs=directory / "logs"), LayerCache(directory / "images")
if sys.argv[3] == "code":
    print(service._code(progress, cache, source).digest)
else:
    image = service.service_image(progress, cache, source)
    image.write(directory / "image.tar")
    print(image.digest)
"""


def checkout(directory: Path, age: int) -> Path:
    """A copy of what the image is made from, whose files have another time."""
    source = directory / "checkout"
    for file in (*code_files(ROOT), ROOT / "service" / "requirements.lock"):
        copied = source / file.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copied)
        os.utime(copied, (age, age))
    return source


def build(directory: Path, part: str, *, age: int, imports: str = "", python: str = sys.executable) -> str:
    """Builds in a process of its own, and returns the digest."""
    source = checkout(directory, age)
    environment = os.environ | {"PYTHONHASHSEED": str(age), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    command: list[str | Path] = [python, "-c", BUILD.format(imports=imports), directory, source, part]
    made = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return str(made.stdout)


def test_the_code_gives_the_same_layer_in_another_folder_at_another_time(tmp_path: Path) -> None:
    first = build(tmp_path / "first", "code", age=1)
    assert build(tmp_path / "second", "code", age=1000, imports="import service.gateway.api, httpx") == first
    assert first.startswith("sha256:")


@pytest.mark.nightly  # it installs packages of Debian and of Python, twice
def test_the_whole_image_has_the_same_digest_twice(tmp_path: Path) -> None:
    require_program("apt-get")
    other = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "venv", other], check=True)
    first = build(tmp_path / "first", "image", age=1)
    assert build(tmp_path / "second", "image", age=1000, python=str(other / "bin" / "python")) == first
    archives = [tmp_path / name / "image.tar" for name in ("first", "second")]
    one, two = (hashlib.sha256(archive.read_bytes()).hexdigest() for archive in archives)
    assert one == two
