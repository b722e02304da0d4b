"""The target that Prometheus scrapes on Loki."""

from typing import Final

from contracts import endpoints, metrics
from stack.components.shared.scrape import ScrapeTarget

TARGET: Final = ScrapeTarget(
    job=metrics.LOG_STORE_JOB, pods=(endpoints.LOKI,), port=endpoints.LOKI_PORT, samples=20_000
)
