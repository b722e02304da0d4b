"""The secrets, settings, make targets and files that the page on stacks names exist."""

import re

from contracts import secret_keys
from stack.settings import ROOT
from tests.process.dashboards.test_runbooks import is_a_setting

PAGE = (ROOT / "stack" / "README.md").read_text()


def test_every_secret_has_its_row() -> None:
    rows = [line.split("|")[1] for line in PAGE.partition("## A new value")[2].splitlines() if line.startswith("| `")]
    named = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert named == {*secret_keys.GENERATED, *secret_keys.OPTIONAL}


def test_targets_settings_and_files_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+) STACK", PAGE):
        assert f"\n{target}: " in makefile, target
    code = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    settings = [item for item in code if re.fullmatch(r"(cluster|objectives|traces|collector)\.\w+", item)]
    assert settings
    for item in settings:
        assert is_a_setting(item), item
    for item in code:
        if re.fullmatch(r"[\w/]+\.(py|md|txt)", item):
            assert (ROOT / item).exists() or (ROOT / "stack" / item).exists(), item


def test_chapters_that_it_refers_to_are_there() -> None:
    for chapter, file in re.findall(r'"([^"]+)" in `([\w/.]+\.md)`', PAGE):
        assert f"## {chapter}\n" in (ROOT / file).read_text(), chapter
