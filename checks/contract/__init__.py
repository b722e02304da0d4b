"""Compares queries and the telemetry of a running stack with the telemetry contract."""
