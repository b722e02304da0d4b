"""The versions and steps of a rollout, and the journal of its progress."""
