"""gitleaks finds a secret of the history, also one that a later commit has removed."""

import subprocess
from pathlib import Path

import pytest

from checks.supply_chain.command import secrets
from local.failure import Failure
from tests.support.programs import require_program, skipping

KEY = "glpat-" + "Xq3Zt9Lm2Vb7Rk5Wd8Pc"


def git(repository: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "-C", repository, *identity, *arguments], check=True, capture_output=True)


@pytest.mark.nightly  # gitleaks is compiled
def test_a_removed_secret_is_found_and_not_printed(tmp_path: Path) -> None:
    require_program("git")
    git(tmp_path, "init")
    for content in (f"token: {KEY}\n", "token: ${TOKEN}\n"):
        (tmp_path / "settings.yaml").write_text(content)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-m", "a change")
    with skipping("gitleaks", Failure):
        (place,) = secrets(tmp_path)
    assert place.startswith("gitlab-pat in settings.yaml, line 1 of ")
    assert KEY not in place
