"""In CI a test whose program is missing fails; elsewhere it is skipped."""

import re

import pytest

from tests.support.programs import UNAVAILABLE, require_built, require_program, skipping

MISSING = "no-such-program"


def test_a_missing_program_skips_on_a_developers_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{MISSING} is missing: install it"):
        require_program(MISSING)


def test_a_missing_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="wct images build loki"):
        require_built(MISSING, "loki")
    with pytest.raises(pytest.fail.Exception, match="not built"), skipping(MISSING, LookupError):
        raise LookupError("not built")


@pytest.mark.parametrize("program", UNAVAILABLE)
def test_a_program_that_ci_cannot_have_skips_there_too(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match=re.escape(UNAVAILABLE[program])):
        require_program(program)


def test_a_program_on_path_is_returned() -> None:
    assert require_program("sh").name == "sh"
