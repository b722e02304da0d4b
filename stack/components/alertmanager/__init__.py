"""Alertmanager: notifies people of Prometheus' alerts."""
