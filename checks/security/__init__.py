"""Attacks on the services of this machine, counted."""
