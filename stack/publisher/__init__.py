"""Writes the dashboards and datasources of a stack into a Grafana that the stack did not build."""
