"""The reference of the service's image follows what the image is made from, and nothing else."""

from pathlib import Path

import pytest

from local.failure import Failure
from local.images.service import service_reference


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "api.py").write_text("answer = 42\n")
    (tmp_path / "requirements.lock").write_text("fastapi==1\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def test_reference_is_stable_and_a_short_hash(code: Path) -> None:
    repository, _, tag = service_reference(code).rpartition(":")
    assert repository == "localhost/web-crawl-service"
    assert len(tag) == 12
    assert service_reference(code).endswith(tag)


@pytest.mark.parametrize("file", ["gateway/api.py", "requirements.lock", "gateway/new.sql"])
def test_reference_follows_code_and_lock(code: Path, file: str) -> None:
    before = service_reference(code)
    (code / file).write_text("changed\n")
    assert service_reference(code) != before


@pytest.mark.parametrize("file", ["Dockerfile", "requirements.in", "gateway/__pycache__/api.pyc", ".cache/file"])
def test_reference_ignores_what_is_not_in_the_image(code: Path, file: str) -> None:
    before = service_reference(code)
    (code / file).parent.mkdir(exist_ok=True)
    (code / file).write_text("changed\n")
    assert service_reference(code) == before


def test_missing_lock_is_a_failure(code: Path) -> None:
    (code / "requirements.lock").unlink()
    with pytest.raises(Failure, match=r"requirements\.lock is missing"):
        service_reference(code)
