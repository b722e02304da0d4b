"""Recognises secrets in clear in a configuration: in Kubernetes manifests and in the settings of a stack."""

import re
from typing import Final

from lean_tracing.redaction import names
from lean_tracing.redaction.shapes import SHAPES

_MANIFEST: Final = tuple(re.compile(shape.manifest) for shape in SHAPES if shape.manifest)
_SETTING: Final = tuple(re.compile(shape.setting, re.VERBOSE) for shape in SHAPES if shape.setting)
_MANIFEST_NAME: Final = re.compile(names.MANIFEST)


def has_secret_in_clear(text: str, *, in_settings: bool = False) -> bool:
    """Whether a text holds a secret, and not a reference to one.

    Args:
        text: of a manifest, or of anything else that is shown to users.
        in_settings: the text is one of the stack's settings, where more forms are certain to be secrets.
    """
    if any(pattern.search(text) for pattern in _MANIFEST):
        return True
    return in_settings and any(pattern.search(text) for pattern in _SETTING)


def is_secret_name(name: str) -> bool:
    """Whether a variable or a field of a manifest with this name holds a secret."""
    return _MANIFEST_NAME.search(name) is not None
