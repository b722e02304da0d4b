"""When a Go program is compiled again, and that a half-finished build never counts."""

from pathlib import Path

import pytest

from local.failure import Failure
from local.golang import go_build, go_is_built
from local.jobs import Progress
from tests.support.programs import require_program


@pytest.fixture(autouse=True)
def _go() -> None:
    require_program("go")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    directory = tmp_path / "module"
    directory.mkdir()
    (directory / "go.mod").write_text("module example\n\ngo 1.25\n")
    (directory / "main.go").write_text("package main\n\nfunc main() {}\n")
    return directory


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress("build", logs=tmp_path)


def test_it_builds_once(module: Path, tmp_path: Path, progress: Progress) -> None:
    output = tmp_path / "bin" / "example"
    assert not go_is_built(module, output)
    assert go_build(progress, module, output)
    assert go_is_built(module, output)
    assert not go_build(progress, module, output)


@pytest.mark.parametrize("change", ["source", "flags", "binary gone", "stamp gone"])
def test_it_builds_again_when_something_changed(change: str, module: Path, tmp_path: Path, progress: Progress) -> None:
    output = tmp_path / "bin" / "example"
    go_build(progress, module, output)
    ldflags = ""
    if change == "source":
        (module / "more.go").write_text("package main\n")
    elif change == "flags":
        ldflags = "-X main.version=2"
    elif change == "binary gone":
        output.unlink()
    else:
        output.with_name("example.stamp").unlink()
    assert not go_is_built(module, output, ldflags=ldflags)
    assert go_build(progress, module, output, ldflags=ldflags)


def test_a_failed_build_keeps_the_old_binary_and_says_why(module: Path, tmp_path: Path, progress: Progress) -> None:
    output = tmp_path / "bin" / "example"
    go_build(progress, module, output)
    old = output.read_bytes()
    (module / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(Failure, match="undefined: nonsense"):
        go_build(progress, module, output)
    assert output.read_bytes() == old
    assert not go_is_built(module, output)
    assert {path.name for path in output.parent.iterdir()} == {"example", "example.stamp"}
