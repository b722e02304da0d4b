"""The stages of a span's way through the stack. The rules of the span accounting and `make spans` read this list."""

from dataclasses import dataclass
from typing import Final

from contracts import endpoints, metrics
from contracts.metrics import JOB, TRACE_STORE_JOB
from dashboards.config import MonitoringConfig
from dashboards.queries import OTLP_TRACES, TRACES, WAITING_SPANS, equals, series

# A process still counts spans while it stops, but Prometheus no longer scrapes it.
_STOP_SECONDS: Final = 10

_COLLECTOR: Final = equals(JOB, endpoints.COLLECTOR)
_SAMPLER: Final = equals(JOB, endpoints.SAMPLER)
_STORE: Final = equals(JOB, TRACE_STORE_JOB)
_PERMANENT: Final = equals("error_permanent", "true")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A point on the way where spans are counted."""

    name: str
    title: str
    counter: str
    """Selector of the counters; their sum is the number of spans."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """The way from one stage to the next. Each span that comes in goes out, is given up for a reason, or waits."""

    name: str
    title: str
    source: Stage
    target: Stage
    given_up: tuple[Stage, ...] = ()
    waiting: str | None = None
    """Selector of the gauges of the spans that wait in the leg; None if none can wait."""
    idle: str | None = None
    """Query that has a result only while nothing waits, if the waiting is not counted in spans."""
    has_other_sources: bool = False
    """Whether senders other than the source exist, so that more spans may come in than the source sent."""


ENDED = Stage(name="ended", title="ended in the services", counter=series(metrics.SPANS_ENDED, TRACES))
DROPPED = Stage(name="dropped", title="dropped by the services", counter=series(metrics.SPANS_DROPPED, TRACES))
REFUSED = Stage(name="refused", title="refused by the Collectors", counter=series(metrics.SPANS_REFUSED, TRACES))
EXPORTED = Stage(name="exported", title="exported by the services", counter=series(metrics.SPANS_EXPORTED, TRACES))
ACCEPTED = Stage(
    name="accepted", title="accepted by the Collectors", counter=series(metrics.ACCEPTED_SPANS, _COLLECTOR)
)
SENT = Stage(name="sent", title="sent by the Collectors", counter=series(metrics.SENT_SPANS, _COLLECTOR))
READ = Stage(name="read", title="read by the samplers", counter=series(metrics.ACCEPTED_SPANS, _SAMPLER))
KEPT = Stage(name="kept", title="kept and sent by the samplers", counter=series(metrics.SENT_SPANS, _SAMPLER))
STORED_IN_TEMPO = Stage(
    name="stored", title="received by the trace store", counter=series(metrics.STORE_RECEIVED_SPANS, _STORE)
)
STORED_IN_JAEGER = Stage(name="stored", title="stored by the trace store", counter=series(metrics.SENT_SPANS, _STORE))
REFUSED_BY_RECEIVER = Stage(
    name="refused_by_store",
    title="refused for good by the receiver of the Collectors",
    counter=series(metrics.SEND_FAILED_SPANS, _COLLECTOR, _PERMANENT),
)


_FROM_SERVICES: Final = (
    Leg(
        name="service",
        title="in the services",
        source=ENDED,
        target=EXPORTED,
        given_up=(DROPPED, REFUSED),
        waiting=WAITING_SPANS,
    ),
    Leg(
        name="handover",
        title="between services and Collectors",
        source=EXPORTED,
        target=ACCEPTED,
        has_other_sources=True,
    ),
)


def _in_damaged_queues(exporter: str) -> Stage:
    return Stage(
        name="set_aside",
        title="in damaged queue files, which were quarantined",
        counter=series(metrics.QUEUE_ITEMS_LOST, f'queue=~"exporter_{exporter}_traces_traces"'),
    )


def legs(config: MonitoringConfig) -> tuple[Leg, ...]:
    """Return the way of a span through a stack.

    It begins at the Collectors if all services are the users' own. For spans that the samplers do not keep, it ends at
    the samplers; with a store that the stack did not build, at the last Collector, which has the store's
    acknowledgement.
    """
    in_collectors = series(metrics.SENDING_QUEUE_SIZE, _COLLECTOR, OTLP_TRACES)
    lost_queues = _in_damaged_queues("kafka" if config.tail_sampling else "otlp_(grpc|http)")
    through_kafka = Leg(
        name="kafka",
        title="in Kafka",
        source=SENT,
        target=READ,
        idle=f"sum({series(metrics.SAMPLER_LAG, _SAMPLER)}) == 0",
    )
    return (
        *(_FROM_SERVICES if config.services else ()),
        Leg(
            name="collector",
            title="in the Collectors",
            source=ACCEPTED,
            target=SENT,
            given_up=(REFUSED_BY_RECEIVER, lost_queues),
            waiting=in_collectors,
        ),
        *((through_kafka,) if config.tail_sampling else ()),
        *((_to_the_store(config),) if config.trace_store_scraped else ()),
    )


def _to_the_store(config: MonitoringConfig) -> Leg:
    return Leg(
        name="store",
        title="between the last Collector and the store",
        source=KEPT if config.tail_sampling else SENT,
        target=STORED_IN_JAEGER if config.trace_backend == "jaeger" else STORED_IN_TEMPO,
    )


def stages(config: MonitoringConfig) -> tuple[Stage, ...]:
    """Return all stages of a stack, in the order of a span's way."""
    by_name: dict[str, Stage] = {}
    for leg in legs(config):
        for stage in (leg.source, *leg.given_up, leg.target):
            by_name.setdefault(stage.name, stage)
    return tuple(by_name.values())


def span_jobs(config: MonitoringConfig) -> tuple[str, ...]:
    """Return the scrape jobs of the processes that a span passes through."""
    sampler = (endpoints.SAMPLER,) if config.tail_sampling else ()
    store = (TRACE_STORE_JOB,) if config.trace_store_scraped else ()
    return (*config.services, endpoints.COLLECTOR, *sampler, *store)


def of_span_jobs(config: MonitoringConfig) -> str:
    """Return the matcher of those jobs."""
    return f'{JOB}=~"{"|".join(span_jobs(config))}"'


def processes_ended(config: MonitoringConfig, window: str) -> str:
    """Return the query of the number of processes on a span's way that ended within the window.

    Most of them have a successor.
    """
    jobs = of_span_jobs(config)
    up = series(metrics.UP, jobs)
    gone = f"count(count_over_time({up}[{window}])) - (count({up} == 1) or vector(0))"
    restarted = f"sum(changes({series(metrics.PROCESS_START, jobs)}[{window}])) or vector(0)"
    reset = f"sum(resets({series(metrics.COLLECTOR_UPTIME, jobs)}[{window}])) or vector(0)"
    return f"{gone} + ({restarted}) + ({reset})"


def unseen_seconds(config: MonitoringConfig) -> int:
    """Return the time before a process' end, in s, whose spans it may have counted without being scraped again."""
    return config.scrape_interval_seconds + _STOP_SECONDS
