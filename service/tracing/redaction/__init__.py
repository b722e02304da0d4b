"""Redaction: hides secrets and personal data, by the name of a value and by its shape."""

from service.tracing.redaction.redactor import (
    CUT,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    OVERLAP,
    REDACTED,
    Redactor,
    kept,
)

__all__ = ["CUT", "MAX_DEPTH", "MAX_ITEMS", "MAX_TEXT", "OVERLAP", "REDACTED", "Redactor", "kept"]
