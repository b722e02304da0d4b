"""The target that Prometheus scrapes on the trace store, and the number of its pods."""

from collections.abc import Mapping

from contracts import endpoints, metrics
from stack.components.shared.scrape import ScrapeTarget
from stack.components.trace_store.settings import Traces


def pods(settings: Traces) -> Mapping[str, int]:
    """Return the workloads that the trace store consists of: name → number of pods."""
    if settings.backend == "jaeger":
        return {endpoints.JAEGER: 1}
    size = settings.distributed
    if size is None:
        return {endpoints.TEMPO: 1}
    return {
        endpoints.TEMPO_DISTRIBUTOR: size.replicas,
        endpoints.TEMPO_LIVE_STORE: size.replicas,
        endpoints.TEMPO_BLOCK_BUILDER: size.replicas,
        endpoints.TEMPO: size.query_frontends,
        endpoints.TEMPO_QUERIER: size.replicas,
        endpoints.TEMPO_BACKEND_SCHEDULER: 1,
        endpoints.TEMPO_BACKEND_WORKER: 1,
    }


def target(settings: Traces) -> ScrapeTarget:
    """Return the scrape target of the trace store."""
    ports = {"tempo": endpoints.TEMPO_HTTP_PORT, "jaeger": endpoints.JAEGER_TELEMETRY_PORT}
    job, port = metrics.TRACE_STORE_JOB, ports[settings.backend]
    return ScrapeTarget(job=job, pods=tuple(pods(settings)), port=port, samples=20_000)
