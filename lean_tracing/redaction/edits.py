"""Replaces parts of a text, and follows a position through the replacements."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lean_tracing.redaction.keys import KeyRules


class Context(NamedTuple):
    """The settings that are the same for all texts of one `Redactor`."""

    keys: KeyRules
    hash_text: Callable[[str], str]


class Edit(NamedTuple):
    """Other text in place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


class Seam:
    """A position in a text. After an edit around it, it moves to the start of what followed it, or before that."""

    __slots__ = ("_shift", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self._shift = 0

    def move(self, edit: Edit) -> None:
        """Records an edit. All edits of one pass have the coordinates of the text before the pass."""
        if edit.start < self.position:
            self._shift += len(edit.text) - (min(edit.end, self.position) - edit.start)

    def end_pass(self) -> None:
        """The next edits have the coordinates of the text as it is now."""
        self.position += self._shift
        self._shift = 0


def apply_edits(text: str, edits: Sequence[Edit], seam: Seam | None = None) -> str:
    """`text` with its edits, which are sorted and do not overlap; `seam` is moved along."""
    if not edits:
        return text
    parts: list[str] = []
    done = 0
    for edit in edits:
        parts += (text[done : edit.start], edit.text)
        done = edit.end
        if seam is not None:
            seam.move(edit)
    if seam is not None:
        seam.end_pass()
    parts.append(text[done:])
    return "".join(parts)


def substitute(
    pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], text: str, seam: Seam | None
) -> str:
    """`text` with each match of `pattern` replaced; `seam` is moved along."""
    if seam is None:
        return pattern.sub(replacement, text)
    edits: list[Edit] = []
    for match in pattern.finditer(text):
        new = replacement if isinstance(replacement, str) else replacement(match)
        if new != match.group():
            edits.append(Edit(match.start(), match.end(), new))
    return apply_edits(text, edits, seam)
