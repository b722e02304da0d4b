"""Secrets get new values while the stack runs."""
