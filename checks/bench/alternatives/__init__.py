"""Tracing libraries of others, measured next to this one. They are installed into an environment of their own."""
