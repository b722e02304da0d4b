"""`make bench ARGS=--record`: the figures are those of the native part; a machine without a compiler records none."""

import pytest
from rich.console import Console

from checks.bench import command
from contracts.errors import UserError
from local.native_part import NoCompilerError


def test_without_a_compiler_nothing_is_measured_or_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_once() -> None:
        raise NoCompilerError("no C compiler on PATH")

    monkeypatch.setattr(command, "compile_once", compile_once)
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(UserError, match="native part, which cannot be compiled here: no C compiler on PATH"):
        command.run(Console(), must_record=True)
