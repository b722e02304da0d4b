"""The way from outside of the cluster to the task API and to Grafana."""
