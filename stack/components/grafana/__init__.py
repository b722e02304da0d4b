"""Grafana, with all datasources and dashboards provisioned."""
