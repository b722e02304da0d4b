"""The target that Prometheus scrapes on the probe."""

from typing import Final

from contracts import endpoints, http
from stack.components.shared.scrape import ScrapeTarget

TARGET: Final = ScrapeTarget(
    job=endpoints.PROBE,
    pods=(endpoints.PROBE,),
    port=endpoints.SERVICE_PORT,
    path=http.METRICS,
    samples=1_000,  # about 110 in use
)
