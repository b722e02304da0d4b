"""HTTP paths of the services."""

from typing import Final

HEALTH: Final = "/api/health"
LIVE: Final = "/api/health/live"
READY: Final = "/api/health/ready"
METRICS: Final = "/api/metrics"
TASKS: Final = "/api/tasks"
DEMO: Final = "/demo"
"""The page of the gateway that a crawl can fetch."""
