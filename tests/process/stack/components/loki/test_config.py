"""The real Loki accepts the configurations of the stack."""

import subprocess
from pathlib import Path

import pytest
import yaml

from stack.components.loki.settings import Logs
from stack.settings import load
from tests.support.loki_process import local_config
from tests.support.programs import require_built


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_the_real_loki_accepts_it(stack: str, tmp_path: Path) -> None:
    file = tmp_path / "loki.yaml"
    settings = load(stack)
    file.write_text(yaml.safe_dump(local_config(settings.logs, settings.retention, tmp_path)))
    done = subprocess.run(
        [require_built("loki", "loki"), f"-config.file={file}", "-verify-config"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_real_loki_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """Otherwise an accepted configuration would prove nothing."""
    file = tmp_path / "loki.yaml"
    file.write_text(yaml.safe_dump(local_config(Logs(), "48h", tmp_path) | {"no_such_section": {}}))
    done = subprocess.run(
        [require_built("loki", "loki"), f"-config.file={file}", "-verify-config"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "no_such_section" in done.stderr
