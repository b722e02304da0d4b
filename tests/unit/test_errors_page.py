"""The page of error messages has each message of the code, and none that the code does not have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from contracts.errors import UserError
from stack.settings import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text()
_FOLDERS = ("cli", "stack", "local", "checks", "contracts", "lean_tracing")
_OF_CLICK = {"BadParameter", "UsageError"}
_SHORTEST = 7
"""A shorter part of a message would be in others by chance."""


def _modules() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for folder in _FOLDERS for path in sorted(Path(ROOT, folder).rglob("*.py"))]


MODULES = _modules()


def _texts(node: ast.AST) -> Iterator[str]:
    """The fixed texts of an expression. An f-string is one text, with `…` for each of its values."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def _errors() -> set[str]:
    """Names of `UserError` and of the classes below it."""
    classes = [
        (node.name, {ast.unparse(base).rpartition(".")[2] for base in node.bases})
        for module in MODULES
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef)
    ]
    names, added = {UserError.__name__}, {UserError.__name__}
    while added:
        added = {name for name, bases in classes if bases & names} - names
        names |= added
    return names


def messages() -> set[str]:
    """The messages with which the code raises errors of users, as far as they are fixed where they are raised."""
    names = _errors() | _OF_CLICK
    return {
        message
        for module in MODULES
        for node in ast.walk(module)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        if ast.unparse(node.exc.func).rpartition(".")[2] in names
        for message in ["\n".join(text for argument in node.exc.args for text in _texts(argument))]
        if re.search(r"[a-z]{4}", message)
    }


ROWS = re.findall(r"^- `` ?(.+?) ?``:|^- `([^`]+)`:", PAGE, re.MULTILINE)
FRAGMENTS = [double or single for double, single in ROWS]


def test_each_message_has_a_row() -> None:
    assert len(messages()) > 100
    without = {message for message in messages() if not any(fragment in message for fragment in FRAGMENTS)}
    assert not without, "\n".join(sorted(without))


def test_each_row_is_part_of_a_message() -> None:
    texts = messages() | {text for module in MODULES for text in _texts(module)}
    assert len(set(FRAGMENTS)) == len(FRAGMENTS)
    gone = [fragment for fragment in FRAGMENTS if not any(fragment in text for text in texts)]
    assert not gone


def test_a_row_is_specific() -> None:
    assert not [fragment for fragment in FRAGMENTS if len(fragment.strip()) < _SHORTEST]
