"""Faults on the running stack under load, and a ledger that shows whether an acknowledged span is lost."""
