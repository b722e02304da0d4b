"""Tests of `checks/bench` without a server."""
