"""Names of the three services: their Deployments, `service.name` of their spans, `job` of their metrics."""

from typing import Final

GATEWAY: Final = "gateway"
TASK_MANAGER: Final = "task-manager"
CRAWLER: Final = "web-crawler"
SERVICES: Final = (GATEWAY, TASK_MANAGER, CRAWLER)
"""In the order in which a request reaches them."""
