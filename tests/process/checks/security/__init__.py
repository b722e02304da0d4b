"""The tests of `make security`."""
