"""Faults against the running stack, and a ledger that tells afterwards whether an acknowledged span is missing."""
