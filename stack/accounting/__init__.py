"""Span accounting: how many spans reached each stage of their way, and where spans are missing."""
