"""Runs a single-node Kubernetes on this machine, built from packages and Go modules, without an image registry."""
