"""Prometheus: scrapes, stores and evaluates the metrics."""
