"""Clients of the stack's Prometheus and trace store."""
