"""`make config STACK=…`: every setting of a stack as it is in effect, and where its value comes from."""

import argparse
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
from stack.settings import OVERLAY, PROJECT, ROOT, Settings, SettingsError, load_here, overlaid, stack_file

DEFAULT: Final = "default"
_SECRET: Final = "(secret)"
_STYLES: Final = {"file": "green", "overlay": "yellow", DEFAULT: "dim"}

Key = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Value:
    """A setting in effect."""

    key: str
    value: Any
    kind: str
    """`file`, `overlay` or `default`."""
    origin: str
    """File and line, or `default`."""


def lines(path: Path) -> dict[Key, int]:
    """Line of each value in a stack file's configuration, from 1, by its path without the project's name."""
    found: dict[Key, int] = {}
    for key, node in _items(yaml.compose(path.read_text())):
        if key.value == "config":
            for project_key, value in _items(node):
                _walk((str(project_key.value).removeprefix(f"{PROJECT}:"),), project_key, value, found)
    return found


def _walk(path: Key, key: yaml.Node, value: yaml.Node, found: dict[Key, int]) -> None:
    inside = list(_items(value))
    if not inside:
        found[path] = key.start_mark.line + 1
    for inner, below in inside:
        _walk((*path, str(inner.value)), inner, below, found)


def _items(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def values(settings: Settings, file: Path, overlay: Path | None) -> list[Value]:
    """Every setting with its origin, in the order of the settings tree; then the secrets that the file holds.

    Args:
        settings: the stack's.
        file: its file.
        overlay: what was laid over it, if anything was.
    """
    written, laid = lines(file), lines(overlay) if overlay else {}

    def value(path: Key, content: Any) -> Value:
        for kind, known, name in (("overlay", laid, str(OVERLAY)), ("file", written, file.name)):
            # A section may be written as one text, the way the engine hands it over.
            for end in range(len(path), 0, -1):
                if path[:end] in known:
                    return Value(key=".".join(path), value=content, kind=kind, origin=f"{name}:{known[path[:end]]}")
        return Value(key=".".join(path), value=content, kind=DEFAULT, origin=DEFAULT)

    found = [value(path, content) for path, content in _leaves(settings.model_dump(by_alias=True, mode="json"), ())]
    kept = [key for key in secret_keys.ALL if (key, "secure") in written]
    return found + [
        Value(key=key, value=_SECRET, kind="file", origin=f"{file.name}:{written[key, 'secure']}") for key in kept
    ]


def _leaves(tree: Mapping[str, Any], path: Key) -> Iterator[tuple[Key, Any]]:
    for key, content in tree.items():
        if isinstance(content, dict) and content:
            yield from _leaves(content, (*path, key))
        else:
            yield (*path, key), content


def show(found: list[Value], console: Console) -> None:
    """Prints a line for each setting; wider than the terminal rather than cut."""
    texts = {item.key: _text(item.value) for item in found}
    key_width = max(len(key) for key in texts)
    value_width = min(max(len(text) for text in texts.values()), 48)
    for item in found:
        console.print(
            Text.assemble(
                f"{item.key:<{key_width}}  ",
                (f"{texts[item.key]:<{value_width}}  ", "" if item.kind == DEFAULT else "bold"),
                (item.origin, _STYLES[item.kind]),
            ),
            soft_wrap=True,
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stack.settings.origins", description=__doc__)
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    asked = parser.parse_args()
    try:
        overlay = ROOT / OVERLAY if overlaid(asked.stack) else None
        found = values(load_here(asked.stack), stack_file(asked.stack), overlay)
    except SettingsError as error:
        sys.exit(f"error: {error}")
    if asked.json:
        print(json.dumps({item.key: {"value": item.value, "from": item.origin} for item in found}, indent=1))
    else:
        show(found, Console(highlight=False))


if __name__ == "__main__":
    main()
