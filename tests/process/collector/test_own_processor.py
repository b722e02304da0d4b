"""The Go tests of the project's own processor: limits and places that take a Collector long to show."""

import os
import shutil
import subprocess

import pytest

from local.golang import ENVIRONMENT
from tests.support.service_process import ROOT


@pytest.mark.nightly  # compiles the parts of the Collector that it needs
def test_the_processors_own_tests_pass() -> None:
    if shutil.which("go") is None:
        pytest.skip("no go on PATH")
    ended = subprocess.run(
        ["go", "test", "./leanredactionprocessor/"],
        cwd=ROOT / "collector" / "distribution",
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
