"""The commands of `stack/components/postgres/README.md` dump the database of the local stack and restore it."""

import os
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any, Final

import httpx

from contracts import http
from contracts.tasks import TaskStatus
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import ROOT, load
from stack.stores import Stores

SETTINGS = load("local")
_README: Final = ROOT / "stack" / "components" / "postgres" / "README.md"


def _commands() -> tuple[str, str]:
    """Return the commands that dump, and those that restore, each with the functions before them."""
    (block,) = [block for block in re.findall(r"```\n(.*?)```", _README.read_text(), re.DOTALL) if "pg_dump" in block]
    block = block.replace("NAMESPACE", SETTINGS.cluster.namespace)
    functions, both = block.split("\n\n")
    dump, restore = both.split("\n", 1)
    return f"{functions}\n{dump}", f"{functions}\n{restore}"


def _run(commands: str, directory: Path) -> None:
    environment = {**os.environ, "KUBECONFIG": str(SETTINGS.cluster.kubeconfig)}
    shell = ["bash", "-euo", "pipefail", "-c", commands]
    result = subprocess.run(
        shell, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


def _create(gateway: str) -> str:
    """Create a task, and return its id once it is completed."""
    body = {"user_email": "backup@example.com", "user_query": "?", "base_url": "http://gateway:8080/demo"}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    task = str(httpx.post(f"{gateway}{http.TASKS}", json=body, headers=headers, timeout=30).json()["id"])
    poll_until("the task", lambda: _read(gateway, task).get("status") == TaskStatus.COMPLETED, seconds=60, every=0.5)
    return task


def _read(gateway: str, task: str) -> dict[str, Any]:
    """Return the task as the API shows it; empty if there is none."""
    answer = httpx.get(f"{gateway}{http.TASKS}/{task}", timeout=30)
    return dict(answer.json()) if answer.is_success else {}


def test_a_dump_is_restored(tmp_path: Path) -> None:
    dump, restore = _commands()
    with Stores(settings=SETTINGS, client=connect(SETTINGS.cluster)).gateway() as gateway:
        first = _create(gateway)
        expected = _read(gateway, first)
        _run(dump, tmp_path)
        second = _create(gateway)
        _run(restore, tmp_path)
        poll_until("the state of the dump", lambda: not _read(gateway, second), seconds=60, every=0.5)
        assert _read(gateway, first) == expected
