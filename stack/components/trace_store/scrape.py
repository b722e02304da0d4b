"""The target that Prometheus scrapes on the trace store, and the names of its pods."""

from typing import Final

from contracts import endpoints, metrics
from stack.components.shared.scrape import ScrapeTarget
from stack.components.trace_store.settings import Traces

_REPLICATED: Final = frozenset(
    {
        endpoints.TEMPO_DISTRIBUTOR,
        endpoints.TEMPO_LIVE_STORE,
        endpoints.TEMPO_BLOCK_BUILDER,
        endpoints.TEMPO_QUERIER,
    }
)
"""Parts of Tempo of which there are `traces.distributed.replicas` pods; of each other part there is one."""


def pods(settings: Traces) -> tuple[str, ...]:
    """Return the names of the workloads that the trace store consists of."""
    if settings.backend == "jaeger":
        return (endpoints.JAEGER,)
    if settings.distributed is None:
        return (endpoints.TEMPO,)
    return (
        endpoints.TEMPO_DISTRIBUTOR,
        endpoints.TEMPO_LIVE_STORE,
        endpoints.TEMPO_BLOCK_BUILDER,
        endpoints.TEMPO,
        endpoints.TEMPO_QUERIER,
        endpoints.TEMPO_BACKEND_SCHEDULER,
        endpoints.TEMPO_BACKEND_WORKER,
    )


def replicas(settings: Traces) -> int:
    """Return the number of pods of the trace store."""
    size = settings.distributed
    return sum(size.replicas if name in _REPLICATED else 1 for name in pods(settings)) if size else 1


def target(settings: Traces) -> ScrapeTarget:
    """Return the scrape target of the trace store."""
    ports = {"tempo": endpoints.TEMPO_HTTP_PORT, "jaeger": endpoints.JAEGER_TELEMETRY_PORT}
    return ScrapeTarget(job=metrics.TRACE_STORE_JOB, pods=pods(settings), port=ports[settings.backend], samples=20_000)
