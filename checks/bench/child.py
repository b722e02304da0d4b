"""A child process that reads requests and writes answers, one line of JSON each."""

import contextlib
import functools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from contracts.errors import UserError

ROOT = Path(__file__).parents[2]
_ANSWER_SECONDS = 120.0
# Settings of tracing in the caller's environment must not reach the variants, and imports need their byte code.
_NOT_PASSED = ("OTEL_", "TRACING_", "DD_", "LOGFIRE_", "PYTHONDONTWRITEBYTECODE")


class ChildFailed(UserError):
    """A measured process ended or did not answer; the message has the end of its output."""


class Child:
    """Runs `python -m MODULE ARGUMENTS`. Its first line, `hello`, means that it is ready."""

    def __init__(self, module: str, arguments: Sequence[str] = (), python: Path = Path(sys.executable)) -> None:
        self._name = " ".join((module.rpartition(".")[2], *arguments[:3]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED)}
        self._process = subprocess.Popen(
            [python, "-m", module, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [threading.Thread(target=target, daemon=True) for target in (self._read, self._read_errors)]
        for reader in self._readers:
            reader.start()

    @functools.cached_property
    def hello(self) -> dict[str, Any]:
        """Wait until it is ready; several children can start at the same time.

        Raises:
            ChildFailed: it ended, or did not answer in time.
        """
        return self._answer()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors = [*self._errors[-20:], line]

    def ask(self, order: int | str | list[int]) -> dict[str, Any]:
        """Return the answer to `order`.

        Raises:
            ChildFailed: it ended, or did not answer in time.
        """
        _ = self.hello  # the line before the answer
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # if the process has ended, the missing answer raises ChildFailed
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=_ANSWER_SECONDS)
        except queue.Empty:
            raise ChildFailed(f"{self._name}: no answer within {_ANSWER_SECONDS:g} s\n{self._output()}") from None
        if line is None:
            self._readers[1].join(5.0)
            raise ChildFailed(f"{self._name}: ended\n{self._output()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _output(self) -> str:
        return "".join(self._errors)

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        for reader in self._readers:
            reader.join(5.0)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
