"""The walks of docs/architecture.md name files and functions that exist."""

import re

import pytest

from stack.settings import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
STEPS = re.findall(r"^\| (\d+) \| (.+?) \| .+ \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("number", "place"), STEPS)
def test_a_step_names_what_exists(number: str, place: str) -> None:
    names = re.findall(r"`([^`]+)`", place)
    files = [name for name in names if "/" in name or name.endswith(".yaml")]
    assert files, number
    text = "".join((ROOT / file).read_text() for file in files)
    for name in set(names) - set(files):
        assert all(re.search(rf"\b{part}\b", text) for part in name.split(".")), name


def test_every_walk_has_as_many_steps_as_it_says() -> None:
    for section in PAGE.split("\n## ")[1:]:
        announced = re.search(r"(\d+) steps", section)
        assert announced is not None
        assert len(re.findall(r"^\| \d+ \|", section, re.MULTILINE)) == int(announced[1])
