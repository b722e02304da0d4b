"""The secrets, settings, make targets and files that the page on stacks names exist."""

import re

from contracts import secret_keys
from stack.settings import ROOT
from stack.settings.lookup import fields_at

PAGE = (ROOT / "stack" / "README.md").read_text()


def test_every_secret_is_listed() -> None:
    items = re.findall(r"^- ((?:`\w+`,?\s+)*`\w+`):", PAGE.partition("## A new value")[2], re.MULTILINE)
    assert sorted(key for item in items for key in re.findall(r"`(\w+)`", item)) == sorted(secret_keys.ALL)


def test_targets_settings_and_files_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+) STACK", PAGE):
        assert f"\n{target}: " in makefile, target
    code = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    settings = [item for item in code if re.fullmatch(r"(cluster|objectives|traces|collector)\.\w+", item)]
    assert settings
    for item in settings:
        section, name = item.split(".")
        assert name in fields_at([section]), item
    for item in code:
        if re.fullmatch(r"[\w/]+\.(py|md|txt)", item):
            assert (ROOT / item).exists() or (ROOT / "stack" / item).exists(), item


def test_chapters_that_it_refers_to_are_there() -> None:
    for chapter, file in re.findall(r'"([^"]+)" in `([\w/.]+\.md)`', PAGE):
        assert f"## {chapter}\n" in (ROOT / file).read_text(), chapter
