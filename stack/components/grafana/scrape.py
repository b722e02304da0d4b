"""The target that Prometheus scrapes on the publisher."""

from typing import Final

from contracts import endpoints, http
from stack.components.shared.scrape import ScrapeTarget

PUBLISHER: Final = ScrapeTarget(
    job=endpoints.GRAFANA_PUBLISHER,
    pods=(endpoints.GRAFANA_PUBLISHER,),
    port=endpoints.SERVICE_PORT,
    path=http.METRICS,
    samples=100,  # 8 in use
)
