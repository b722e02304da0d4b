"""The reference of the services' image follows what the image is made from, and nothing else."""

import re
from pathlib import Path

import pytest

from local.failure import Failure
from local.images.service import ROOT, code_files, service_reference


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small checkout."""
    for name, text in {
        "lean_tracing/span.py": "NAME = 'span'\n",
        "service/gateway/api.py": "from contracts.topics import STATUS_TOPIC\n",
        "service/requirements.lock": "fastapi==1\n",
        "service/Dockerfile": "FROM scratch\n",
        "contracts/__init__.py": "",
        "contracts/names.py": "NAME = 'status'\n",
        "contracts/topics.py": "from contracts.names import NAME as STATUS_TOPIC\n",
        "contracts/endpoints.py": "PORT = 80\n",
        "stack/probe/proof.py": "from stack.polling import poll_until\n",
        "stack/polling.py": "def poll_until() -> None: ...\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_reference_is_stable_and_a_short_hash(source: Path) -> None:
    repository, _, tag = service_reference(source).rpartition(":")
    assert repository == "localhost/web-crawl-service"
    assert len(tag) == 12
    assert service_reference(source).endswith(tag)


@pytest.mark.parametrize(
    "file",
    [
        "lean_tracing/span.py",
        "service/gateway/api.py",
        "service/requirements.lock",
        "service/gateway/new.sql",
        "contracts/topics.py",
        "contracts/names.py",
        "contracts/__init__.py",
        "stack/probe/proof.py",
        "stack/polling.py",
    ],
)
def test_reference_follows_code_contracts_and_lock(source: Path, file: str) -> None:
    reference = service_reference(source)
    path = source / file
    path.write_text(f"{path.read_text() if path.exists() else ''}# changed\n")
    assert service_reference(source) != reference


@pytest.mark.parametrize(
    "file",
    [
        "service/Dockerfile",
        "service/README.md",
        "service/requirements.in",
        "service/gateway/__pycache__/api.pyc",
        "service/.cache/file",
        "contracts/endpoints.py",
        "stack/program.py",
    ],
)
def test_reference_ignores_what_is_not_in_the_image(source: Path, file: str) -> None:
    reference = service_reference(source)
    (source / file).parent.mkdir(exist_ok=True)
    (source / file).write_text("changed\n")
    assert service_reference(source) == reference


@pytest.mark.parametrize(
    "code",
    [
        "def function():\n    from contracts import endpoints\n",
        "try:\n    pass\nexcept ValueError:\n    from contracts import endpoints\n",
        "try:\n    pass\nfinally:\n    from contracts.endpoints import PORT\n",
        "class Name:\n    with open('file'):\n        from contracts.endpoints import PORT\n",
        "if False:\n    pass\nelse:\n    from contracts.endpoints import PORT\n",
        "match 1:\n    case 1:\n        from contracts.endpoints import PORT\n",
    ],
)
def test_an_import_in_any_statement_is_found(source: Path, code: str) -> None:
    assert source / "contracts/endpoints.py" not in code_files(source)
    (source / "service/gateway/api.py").write_text(code)
    assert source / "contracts/endpoints.py" in code_files(source)


def test_missing_lock_is_a_failure(source: Path) -> None:
    (source / "service" / "requirements.lock").unlink()
    with pytest.raises(Failure, match=r"requirements\.lock is missing"):
        service_reference(source)


def test_the_dockerfile_copies_the_same_modules_of_contracts_and_stack() -> None:
    dockerfile = (ROOT / "service" / "Dockerfile").read_text()
    copied = re.findall(r"(?:contracts|dashboards|stack)/\S+\.py", dockerfile)
    packed = [str(path.relative_to(ROOT)) for path in code_files(ROOT)]
    whole = ("service/", "lean_tracing/", "stack/probe/", "stack/publisher/", "stack/kafka_users/")
    assert all(f"COPY {folder.rstrip('/')} /app/" in dockerfile for folder in whole)
    assert sorted(copied) == [name for name in packed if not name.startswith(whole)]
    sent = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(sent) == {name.partition("/")[0] for name in packed}


def test_the_image_has_no_code_that_needs_pulumi_or_kubernetes() -> None:
    for path in code_files(ROOT):
        assert not re.search(r"^(import|from) (pulumi|kubernetes)", path.read_text(), re.MULTILINE), path
