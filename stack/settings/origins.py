"""`make config STACK=…`: every setting of a stack that is in effect, and the file and line that it comes from."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.text import Text

from contracts import secret_keys
from stack.settings import OVERLAY, PROJECT, Settings, is_without_overlay, load, overlay_file, stack_file

DEFAULT: Final = "default"
_SECRET: Final = "(secret)"
_STYLES: Final = {"file": "green", "overlay": "yellow", DEFAULT: "dim"}
_WIDEST_VALUE: Final = 48

KeyPath = tuple[str, ...]
"""Names of a section, of the sections in it, and of the setting."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A setting in effect."""

    key: str
    value: Any
    kind: str
    """`file`, `overlay` or `default`."""
    origin: str
    """File and line, or `default`."""


def lines(file: Path) -> dict[KeyPath, int]:
    """Return the line, from 1, of each value in a stack file, by its path without the project's name."""
    numbers: dict[KeyPath, int] = {}
    for key, node in _items(yaml.compose(file.read_text())):
        if key.value == "config":
            for project_key, value in _items(node):
                _add_lines((str(project_key.value).removeprefix(f"{PROJECT}:"),), project_key, value, numbers)
    return numbers


def _add_lines(path: KeyPath, key: yaml.Node, value: yaml.Node, numbers: dict[KeyPath, int]) -> None:
    items = list(_items(value))
    if not items:
        numbers[path] = key.start_mark.line + 1
    for inner_key, inner_value in items:
        _add_lines((*path, str(inner_key.value)), inner_key, inner_value, numbers)


def _items(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def values(settings: Settings, file: Path, overlay: Path | None) -> list[Value]:
    """Return every setting with its origin, in the order of the settings tree, then the secrets in the stack file.

    Args:
        settings: of the stack.
        file: the stack file.
        overlay: the file that was laid over it, if there is one.
    """
    in_file, in_overlay = lines(file), lines(overlay) if overlay else {}

    def with_origin(path: KeyPath, content: Any) -> Value:
        for kind, numbers, name in (("overlay", in_overlay, str(OVERLAY)), ("file", in_file, file.name)):
            # A section may be written as one JSON text, as the engine passes it: then its line is the origin.
            for end in range(len(path), 0, -1):
                if path[:end] in numbers:
                    return Value(key=".".join(path), value=content, kind=kind, origin=f"{name}:{numbers[path[:end]]}")
        return Value(key=".".join(path), value=content, kind=DEFAULT, origin=DEFAULT)

    leaves = _leaves(settings.model_dump(by_alias=True, mode="json"), ())
    secrets = [key for key in secret_keys.ALL if (key, "secure") in in_file]
    return [with_origin(path, content) for path, content in leaves] + [
        Value(key=key, value=_SECRET, kind="file", origin=f"{file.name}:{in_file[key, 'secure']}") for key in secrets
    ]


def _leaves(tree: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, content in tree.items():
        if isinstance(content, dict) and content:
            yield from _leaves(content, (*path, key))
        else:
            yield (*path, key), content


def show(settings: list[Value], console: Console) -> None:
    """Print a line for each setting; a line that is wider than the terminal is not cut."""
    texts = {item.key: _text(item.value) for item in settings}
    key_width = max(len(key) for key in texts)
    value_width = min(max(len(text) for text in texts.values()), _WIDEST_VALUE)
    for item in settings:
        console.print(
            Text.assemble(
                f"{item.key:<{key_width}}  ",
                (f"{texts[item.key]:<{value_width}}  ", "" if item.kind == DEFAULT else "bold"),
                (item.origin, _STYLES[item.kind]),
            ),
            soft_wrap=True,
        )


def _text(value: Any) -> str:
    if not (isinstance(value, str) and value):
        return json.dumps(value)
    first, *others = value.strip().splitlines() or [value]
    return f"{first} … ({len(others) + 1} lines)" if others else value


def run(stack: str, *, as_json: bool = False) -> None:
    """The command: print the settings of a stack with the file and line of each.

    Raises:
        SettingsError: the stack does not exist, or its settings cannot be used.
    """
    settings = values(load(stack), stack_file(stack), overlay_file(stack))
    if is_without_overlay(stack):
        print(
            f"note: `make up` has not run in this clone, so what it adds in {OVERLAY} is missing here", file=sys.stderr
        )
    if as_json:
        print(json.dumps({item.key: {"value": item.value, "from": item.origin} for item in settings}, indent=1))
    else:
        show(settings, Console(highlight=False))
