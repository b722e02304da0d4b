"""The targets that Prometheus scrapes on the services."""

from typing import Final

from contracts import endpoints, http
from contracts.metadata import TEMPORARY_TRACKS
from contracts.services import SERVICES
from stack.components.shared.scrape import ScrapeTarget

TARGETS: Final = tuple(
    ScrapeTarget(
        job=name,
        pods=(name, *(endpoints.track(name, track) for track in TEMPORARY_TRACKS)),
        port=endpoints.SERVICE_PORT,
        path=http.METRICS,
        samples=2_000,  # about 250 in use
        has_tracks=True,
    )
    for name in SERVICES
)
