"""Derives what Prometheus scrapes from the settings of a stack."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from stack.components.alertmanager import scrape as alertmanager
from stack.components.collector import scrape as collector
from stack.components.encryption.settings import STEPS
from stack.components.grafana import scrape as grafana
from stack.components.loki import scrape as loki
from stack.components.probe import scrape as probe
from stack.components.prometheus.config import Scraping
from stack.components.services import scrape as services
from stack.components.shared.scrape import ScrapeTarget
from stack.components.trace_store import scrape as trace_store
from stack.settings.tree import Settings


def scraping(settings: Settings) -> Scraping:
    """Return the scrape targets of all components that a stack has."""
    own = partial(replace, encrypted=STEPS[settings.encryption.services].speaks_tls)
    encrypted = STEPS[settings.encryption.telemetry].speaks_tls
    telemetry = partial(replace, encrypted=encrypted, needs_token=encrypted)
    return Scraping(
        environment=settings.environment,
        namespace=settings.cluster.namespace,
        interval_seconds=settings.metrics.scrape_interval_seconds,
        targets=[
            *(map(own, services.TARGETS) if settings.services.enabled else []),
            *map(telemetry, _telemetry(settings)),
            *([own(probe.TARGET)] if settings.has_probe else []),
            *([own(grafana.PUBLISHER)] if settings.grafana.published else []),
        ],
        external_alertmanager=settings.alerting.external if settings.alerting.enabled else None,
        replicas=settings.metrics.replicas,
        alertmanager=telemetry(alertmanager.TARGET) if settings.alerting.built else None,
        encrypted=encrypted,
    )


def _telemetry(settings: Settings) -> Iterator[ScrapeTarget]:
    """Yield the targets of the programs that receive and store telemetry."""
    yield from collector.targets(settings.collector)
    if settings.traces.external is None:
        yield trace_store.target(settings.traces)
    if settings.logs.enabled and settings.logs.external is None:
        yield loki.TARGET
    if settings.alerting.built:
        yield alertmanager.TARGET
