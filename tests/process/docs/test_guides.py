"""Each guide of docs/guides works as printed, in a copy of the repository.

A block `diff` is applied, a block `sh` is run, a block with the path of a file is written, and a block `text` has lines
that the commands before it print, in their order. A block without a name is not run.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
GUIDES = sorted(path for path in (ROOT / "docs" / "guides").glob("*.md") if path.name != "README.md")
_BLOCK = re.compile(r"^ *(`{3,4})(diff|sh|text|(?:markdown|python) (\S+))\n(.*?)^ *\1$", re.MULTILINE | re.DOTALL)
_OMITTED = (".git", ".venv", ".local", "__pycache__", ".*_cache", ".hypothesis")
LIMIT = 900


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    copy = tmp_path / "repository"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*_OMITTED))
    (copy / ".venv").symlink_to(ROOT / ".venv")
    (copy / ".local").mkdir()
    return copy


def run(copy: Path, command: tuple[str, ...], text: str = "") -> str:
    """Runs a command in the copy; returns what it prints."""
    # The commands find the Python of this test, where the copy has none.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "dev"}
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{command}\n{text}\n{done.stdout}"
    return done.stdout


def test_there_are_guides() -> None:
    listed = (ROOT / "docs" / "guides" / "README.md").read_text()
    assert GUIDES
    assert all(f"({guide.name})" in listed for guide in GUIDES)


LONG = ("add-a-panel", "add-a-service")
"""Their commands take many seconds. Without the mark `nightly`, only their changes are tried."""


def _marked(guide: Path) -> Any:
    return pytest.param(guide, id=guide.stem, marks=[pytest.mark.nightly] if guide.stem in LONG else [])


@pytest.mark.parametrize("name", LONG)
def test_the_changes_of_a_long_guide_apply(name: str, copy: Path) -> None:
    guide = next(guide for guide in GUIDES if guide.stem == name)
    changes = [textwrap.dedent(block) for _, kind, _, block in _BLOCK.findall(guide.read_text()) if kind == "diff"]
    assert changes
    for change in changes:
        run(copy, ("git", "apply", "-"), change)


@pytest.mark.parametrize("guide", [_marked(guide) for guide in GUIDES])
def test_a_guide_works_as_printed(guide: Path, copy: Path) -> None:
    output = ""
    for _, kind, file, block in _BLOCK.findall(guide.read_text()):
        text = textwrap.dedent(block)
        if file:
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / file).write_text(text)
        elif kind == "diff":
            run(copy, ("git", "apply", "-"), text)
        elif kind == "sh":
            output = run(copy, ("bash", "-euo", "pipefail", "-c", text))
        else:
            position = 0
            for line in text.splitlines():
                position = output.find(line, position)
                assert position >= 0, f"{guide.name}: the output has no {line!r} here:\n{output}"
