"""Programs that lie on PATH, as images."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from local.archive import Image, Layer, Tree
from local.failure import Failure
from local.images.binary import Packed, is_static, libraries, pack, version, version_of
from local.images.cache import LayerCache
from local.jobs import Progress

_STATIC = b"\x7fELF\x02\x01\x01" + bytes(57)


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_STATIC)
    path.chmod(0o755)
    return path


def _files(image: Image) -> dict[str, tarfile.TarInfo]:
    (layer,) = image.layers
    with tarfile.open(layer.path) as tar:
        return {member.name: member for member in tar}


def _pack(tmp_path: Path, packed: Packed, binary: Path) -> Image:
    progress = Progress("pack", logs=tmp_path / "logs")
    return pack(progress, LayerCache(tmp_path / "images"), "program", packed, binary, "docker.io/maker/program:1.0.0")


def test_static_program_goes_alone_with_user_and_certificates(tmp_path: Path) -> None:
    packed = Packed(commands=("program",), program="/bin/renamed", user=65534)
    image = _pack(tmp_path, packed, _program(tmp_path / "program"))
    files = _files(image)
    assert files["bin/renamed"].mode == 0o755
    assert files["tmp"].mode == 0o1777
    assert "etc/passwd" in files
    assert image.entrypoint == ("/bin/renamed",)
    assert image.user == "65534:65534"


def test_a_home_next_to_the_program_is_packed(tmp_path: Path) -> None:
    binary = _program(tmp_path / "prefix" / "bin" / "program")
    for part in ("conf", "public"):
        (tmp_path / "prefix" / "share" / "program" / part).mkdir(parents=True)
        (tmp_path / "prefix" / "share" / "program" / part / "file").write_text(part)
    packed = Packed(
        commands=("program",),
        program="/usr/share/program/bin/program",
        user=472,
        home="/usr/share/program",
        home_parts=("conf", "public"),
        directories=("/var/lib/program",),
    )
    files = _files(_pack(tmp_path, packed, binary))
    assert {"usr/share/program/conf/file", "usr/share/program/public/file"} <= set(files)
    assert files["var/lib/program"].uid == 472


def test_missing_home_is_named(tmp_path: Path) -> None:
    packed = Packed(
        commands=("program",), program="/program", user=1, home="/usr/share/not-there", home_parts=("conf",)
    )
    with pytest.raises(Failure, match="needs its conf/; they are neither next to it"):
        _pack(tmp_path, packed, _program(tmp_path / "program"))


def test_changed_program_gives_another_image(tmp_path: Path) -> None:
    packed = Packed(commands=("program",), program="/program", user=1)
    binary = _program(tmp_path / "program")
    first = _pack(tmp_path, packed, binary)
    assert _pack(tmp_path, packed, binary).digest == first.digest
    binary.write_bytes(_STATIC + b"more")
    assert _pack(tmp_path, packed, binary).digest != first.digest


def test_script_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(Failure, match="is no 64-bit Linux program"):
        is_static(script)


def test_a_dynamic_program_is_recognized_and_finds_its_libraries(tmp_path: Path) -> None:
    shell = Path(shutil.which("sh") or "/bin/sh").resolve()
    assert not is_static(shell)
    assert is_static(_program(tmp_path / "program"))
    assert any(library.name.startswith("libc.so") for library in libraries(shell))


def test_first_name_on_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = _program(tmp_path / "second")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/nowhere")
    packed = Packed(commands=("first", "second"), program="/program", user=1)
    assert packed.find() == second
    first = _program(tmp_path / "first")
    assert packed.find() == first


@pytest.mark.parametrize(
    ("output", "expected"),
    [("tempo, version 3.0.3 (branch: x)", "3.0.3"), ("otelcol-contrib version 0.155.0", "0.155.0"), ("", None)],
)
def test_version_is_what_the_program_says(tmp_path: Path, output: str, expected: str | None) -> None:
    script = tmp_path / "program"
    script.write_text(f"#!/bin/sh\necho '{output}'\n")
    script.chmod(0o755)
    assert version(script) == expected


def test_version_of_a_reference() -> None:
    assert version_of("docker.io/prom/prometheus:v3.13.5") == "3.13.5"


def test_cache_keeps_only_the_newest_layer(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    tree = Tree()
    tree.file("a", "1")
    first: Layer = cache.put("name", "a" * 64, tree)
    assert cache.get("name", "a" * 64) == first
    assert cache.get("name", "b" * 64) is None
    second = cache.put("name", "b" * 64, tree)
    assert not first.path.exists()
    assert cache.get("name", "b" * 64) == second
    second.path.write_text("cut off")
    assert cache.get("name", "b" * 64) is None
