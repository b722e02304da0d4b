"""Loki, the log store."""
