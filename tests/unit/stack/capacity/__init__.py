"""Tests of `stack/capacity`."""
