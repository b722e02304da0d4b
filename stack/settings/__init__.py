"""The settings of a stack: typed, complete, and refused when they are wrong.

The sections live next to what they configure; `tree.py` puts them together. This package imports no Pulumi, except
`engine.py`, so that a command that only reads settings answers quickly.
"""

from contracts.metadata import PROJECT
from stack.settings.configuration import parse
from stack.settings.errors import SettingsError
from stack.settings.files import (
    OVERLAY,
    ROOT,
    effective_config,
    is_without_overlay,
    load,
    load_here,
    overlay_file,
    stack_file,
)
from stack.settings.tree import Settings

__all__ = [
    "OVERLAY",
    "PROJECT",
    "ROOT",
    "Settings",
    "SettingsError",
    "effective_config",
    "is_without_overlay",
    "load",
    "load_here",
    "overlay_file",
    "parse",
    "stack_file",
]
