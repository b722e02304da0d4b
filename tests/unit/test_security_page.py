"""The commands of docs/security.md exist: its rows can be repeated."""

import re

from checks.security.command import ATTACKS
from stack.settings import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
ROWS = re.findall(r"^\| (.+) \| ([\d,]+|each.*|all.*|[\d]+ \w+) \| (.+) \| `(.+)` \|$", PAGE, re.MULTILINE)


def test_each_command_exists() -> None:
    assert len(ROWS) > 12
    for attack, _, _, command in ROWS:
        program, _, argument = command.partition(" ")
        if program == "pytest":
            assert (ROOT / argument).exists(), attack
        else:
            assert program == "make", attack
            assert argument.partition(" ")[0] in TARGETS, attack
        for group in re.findall(r"--only=(\w+)", command):
            assert group in ATTACKS, attack


def test_each_group_of_attacks_has_a_row() -> None:
    groups = {group for *_, command in ROWS for group in re.findall(r"--only=(\w+)", command)}
    assert groups == ATTACKS.keys()
