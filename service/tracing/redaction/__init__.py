"""Redaction: hides secrets and personal data in text, URLs and named values."""

from service.tracing.redaction.cutting import snapshot
from service.tracing.redaction.limits import CUT, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, OVERLAP, REDACTED
from service.tracing.redaction.redactor import Redactor

__all__ = ["CUT", "MAX_DEPTH", "MAX_ITEMS", "MAX_TEXT", "OVERLAP", "REDACTED", "Redactor", "snapshot"]
