"""What Grafana is provisioned with, as code."""
