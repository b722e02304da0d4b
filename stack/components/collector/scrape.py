"""The targets that Prometheus scrapes on the Collectors and the samplers."""

from contracts import endpoints, metrics
from stack.components.collector.settings import Collector
from stack.components.shared.scrape import ScrapeTarget


def targets(settings: Collector) -> tuple[ScrapeTarget, ...]:
    """Return the scrape targets: telemetry, metrics that are made from spans, and the guards of the queues."""
    has_samplers = settings.sampling is not None
    return (
        ScrapeTarget(job="collector", pods=(endpoints.COLLECTOR,), port=endpoints.COLLECTOR_TELEMETRY_PORT),
        ScrapeTarget(
            job=metrics.SPAN_METRICS_JOB,
            pods=(endpoints.COLLECTOR,),
            port=endpoints.COLLECTOR_SPAN_METRICS_PORT,
            # 17 for each combination of dimensions, of which the Collector keeps at most 5,000 a service.
            samples=100_000,
            honor_labels=True,
        ),
        *(_SAMPLER_TARGETS if has_samplers else ()),
        ScrapeTarget(
            job="queue-guard",
            pods=(endpoints.COLLECTOR, *((endpoints.SAMPLER,) if has_samplers else ())),
            port=endpoints.QUEUE_GUARD_PORT,
        ),
    )


_SAMPLER_TARGETS = (
    ScrapeTarget(job="sampler", pods=(endpoints.SAMPLER,), port=endpoints.COLLECTOR_TELEMETRY_PORT),
    ScrapeTarget(
        job=metrics.STORED_SPANS_JOB,
        pods=(endpoints.SAMPLER,),
        port=endpoints.COLLECTOR_SPAN_METRICS_PORT,
        honor_labels=True,
    ),
)
