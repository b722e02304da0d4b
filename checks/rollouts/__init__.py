"""Rollouts on the running local stack: a good version, bad ones, and one that is interrupted."""
