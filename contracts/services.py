"""Names of the services: their Deployments, `service.name` of their spans, `job` of their metrics."""

from typing import Final

GATEWAY: Final = "gateway"
TASK_MANAGER: Final = "task-manager"
CRAWLER: Final = "web-crawler"
PACKAGES: Final = {GATEWAY: "gateway", TASK_MANAGER: "task_manager", CRAWLER: "crawler"}
"""By service, in the order in which a request reaches them: its package in `service/`, which is also its key in the
settings."""
SERVICES: Final = tuple(PACKAGES)
