"""Clients of the stack's Prometheus, Loki and trace store."""
