"""The versions of a release: the steps of a rollout, and the journal of where it is. Deploy and drift read both."""
