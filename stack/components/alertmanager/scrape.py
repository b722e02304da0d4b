"""The target that Prometheus scrapes on Alertmanager, and to which it sends its alerts."""

from typing import Final

from contracts import endpoints
from stack.components.shared.scrape import ScrapeTarget

TARGET: Final = ScrapeTarget(job="alertmanager", pods=(endpoints.ALERTMANAGER,), port=endpoints.ALERTMANAGER_PORT)
