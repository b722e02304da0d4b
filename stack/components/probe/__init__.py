"""The permanent probe."""
