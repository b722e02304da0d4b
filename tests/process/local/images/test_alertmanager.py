"""Alertmanager's sources, completed by the page without which they do not compile."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from local.golang import ENVIRONMENT
from local.images.alertmanager import PACKAGE, complete, sources
from local.jobs import Progress
from local.paths import Home
from tests.support.programs import require_program


@pytest.fixture(autouse=True)
def _go() -> None:
    require_program("go")


def test_they_are_completed_once_and_nothing_is_missing(tmp_path: Path) -> None:
    home, progress = Home(root=tmp_path), Progress("sources", logs=tmp_path / "logs")
    interrupted, older = tmp_path / "sources" / ".alertmanager-1", tmp_path / "sources" / "alertmanager-0"
    for left in (interrupted, older):
        (left / "alertmanager").mkdir(parents=True)

    made = complete(progress, home)
    assert made == sources(home)
    assert list(made.parent.iterdir()) == [made]
    page = made / "alertmanager" / "ui" / "app" / "dist" / "elm" / "index.html.gz"
    assert b"built without its pages" in gzip.decompress(page.read_bytes())
    command = ["go", "list", "-deps", "-f", "{{with .Error}}{{.}}{{end}}", PACKAGE]
    environment = os.environ | ENVIRONMENT
    listed = subprocess.run(command, cwd=made, env=environment, capture_output=True, text=True, timeout=300)
    assert (listed.returncode, listed.stdout.strip()) == (0, ""), listed.stderr

    modified = page.stat().st_mtime_ns
    assert complete(progress, home) == made
    assert page.stat().st_mtime_ns == modified
