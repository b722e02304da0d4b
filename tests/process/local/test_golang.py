"""The Go on PATH."""

from pathlib import Path

import pytest

from local.failure import Failure
from local.golang import go_version


@pytest.mark.parametrize("script", ["exit 3", "echo", "kill -9 $$"])
def test_a_go_that_does_not_run_is_named(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "go").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Failure, match="prints no version"):
        go_version()
