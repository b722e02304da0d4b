"""Redaction: hides secrets and personal data in text, URLs and named values."""

from lean_tracing.redaction.cards import MIN_CARD
from lean_tracing.redaction.cutting import snapshot
from lean_tracing.redaction.limits import CUT, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, OVERLAP, REDACTED
from lean_tracing.redaction.redactor import Redactor

__all__ = ["CUT", "MAX_DEPTH", "MAX_ITEMS", "MAX_TEXT", "MIN_CARD", "OVERLAP", "REDACTED", "Redactor", "snapshot"]
