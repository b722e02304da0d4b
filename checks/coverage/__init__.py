"""Is every operation traced, whole and rightly linked? Judged by a ledger of what was done, never by the spans."""
