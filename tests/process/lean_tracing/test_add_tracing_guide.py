"""The guide "add tracing to your service" works as printed, in an empty environment with nothing of this repository."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.receiver import Receiver
from checks.harness.server import ServerProcess, answers
from stack.polling import poll_until

_ROOT = Path(__file__).parents[3]
_GUIDE = (_ROOT / "docs" / "add-tracing.md").read_text()
_COMMANDS = re.findall(r"```sh\n(.*?)```", _GUIDE, re.DOTALL)
_FILES = dict(re.findall(r"```python (\S+)\n(.*?)```", _GUIDE, re.DOTALL))
_RECEIVER = "http://localhost:4317"
_EMPTY = {"PYTHONPATH": "", "PYTEST_ADDOPTS": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader of the guide is: the library's sources, and the files that the guide has."""
    shutil.copytree(
        _ROOT / "lean_tracing",
        tmp_path / "lean_tracing",
        ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"),
    )
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text)
    # The versions that everything else is tested with.
    pinned = re.findall(r"^(\S+==\S+)", (_ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (tmp_path / "constraints.txt").write_text("\n".join(pinned))
    return tmp_path


def _run(folder: Path, command: str) -> str:
    environment = {**os.environ, "PIP_CONSTRAINT": str(folder / "constraints.txt"), **_EMPTY}
    ended = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_guide_works_as_printed(folder: Path, receiver: Receiver) -> None:
    install, run, test = _COMMANDS
    assert set(_FILES) == {"orders.py", "test_orders.py"}
    _run(folder, install)
    shutil.rmtree(folder / "lean_tracing")  # from here on the installed library alone
    assert "1 passed" in _run(folder, f". environment/bin/activate\n{test}")

    port = free_port()
    assert _RECEIVER in run
    command = f". environment/bin/activate\n{run.strip().replace(_RECEIVER, receiver.endpoint)} --port {port}"
    command = command.replace(" uvicorn", " exec uvicorn")
    url = f"http://127.0.0.1:{port}"
    server = ServerProcess("orders", ["bash", "-euc", command], folder, lambda: answers(f"{url}/docs"), _EMPTY)
    server.start()
    try:
        assert CLIENT.get(f"{url}/orders/6").json() == {"number": 6, "price": 42}
        request, price = _named(receiver, "GET /orders/{number}", "price")
    finally:
        server.stop(60)
    assert price.parent_span_id == request.span_id


def _named(receiver: Receiver, *names: str) -> list[Span]:
    def arrived() -> list[Span] | None:
        spans = {span.name: span for span in receiver.spans()}
        return [spans[name] for name in names] if set(names) <= set(spans) else None

    spans = poll_until("the spans that the guide names", arrived)
    assert spans
    return spans
