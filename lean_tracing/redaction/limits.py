"""The marks that stand for what is hidden or cut, and how much of a value is shown."""

from dataclasses import dataclass
from typing import Final

REDACTED: Final = "[redacted]"
CUT: Final = " …[cut]"

MAX_TEXT: Final = 32_768
"""Characters of one text. The rest is cut, with a mark; the same holds for the next two limits."""
MAX_ITEMS: Final = 1_000
"""Values of one structure, those of nested ones included."""
MAX_DEPTH: Final = 8
"""Levels of nested structures."""
OVERLAP: Final = 1_024
"""Characters kept of a text beyond the limit of what is shown, so that a secret at the limit is recognised whole."""


@dataclass(slots=True)
class Budget:
    """The part of a structure that may still be shown."""

    items: int
    """Further values."""
    text_limit: int | None
    """Characters of each text; None sets no limit."""
    depth: int = 0
    """How deep the current value is nested."""
