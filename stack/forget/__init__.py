"""Deletes what a stack holds about one person, and says what remains until when."""
