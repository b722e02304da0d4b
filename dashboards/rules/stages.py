"""The way of a span: what counts it at each stage, and where it may wait. The rules and `make spans` read this list."""

from dataclasses import dataclass
from typing import Final

from contracts import endpoints
from stack.settings import Settings

# A process counts on while it ends, and is not scraped any more.
_STOP_SECONDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A point on the way where spans are counted."""

    name: str
    title: str
    counter: str
    """Selector of the counters; their sum is the number of spans."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """From one stage to the next. What came in is what went out, was given up for a reason, or waits."""

    name: str
    title: str
    source: Stage
    target: Stage
    given_up: tuple[Stage, ...] = ()
    waiting: str | None = None
    """Selector of the gauges of what waits in between, in spans; None where nothing can wait."""
    idle: str | None = None
    """Query that has a result only while nothing waits, where that is not counted in spans."""
    others_send: bool = False
    """Others than the source may hand over as well, so more may come in than the source sent."""


ENDED = Stage(name="ended", title="ended in the services", counter='tracing_items_ended_total{signal="traces"}')
DROPPED = Stage(name="dropped", title="dropped by the services", counter='tracing_items_dropped_total{signal="traces"}')
REFUSED = Stage(
    name="refused", title="refused by the Collectors", counter='tracing_items_refused_total{signal="traces"}'
)
EXPORTED = Stage(
    name="exported", title="exported by the services", counter='tracing_items_exported_total{signal="traces"}'
)
ACCEPTED = Stage(
    name="accepted",
    title="accepted by the Collectors",
    counter='otelcol_receiver_accepted_spans_total{job="collector"}',
)
SENT = Stage(name="sent", title="sent by the Collectors", counter='otelcol_exporter_sent_spans_total{job="collector"}')
READ = Stage(name="read", title="read by the samplers", counter='otelcol_receiver_accepted_spans_total{job="sampler"}')
KEPT = Stage(
    name="kept", title="kept and sent by the samplers", counter='otelcol_exporter_sent_spans_total{job="sampler"}'
)
STORED_IN_TEMPO = Stage(
    name="stored",
    title="taken by the trace store",
    counter='tempo_distributor_spans_received_total{job="trace-store"}',
)
STORED_IN_JAEGER = Stage(
    name="stored",
    title="stored by the trace store",
    counter='otelcol_exporter_sent_spans_total{job="trace-store"}',
)


REFUSED_BY_STORE = Stage(
    name="refused_by_store",
    title="refused for good by what the Collectors send to",
    counter='otelcol_exporter_send_failed_spans_total{job="collector",error_permanent="true"}',
)


def _in_damaged_queues(exporter: str) -> Stage:
    return Stage(
        name="set_aside",
        title="set aside with damaged queues",
        counter=f'collector_queue_items_lost_total{{queue="exporter_{exporter}_traces_traces"}}',
    )


def legs(settings: Settings) -> tuple[Leg, ...]:
    """The way of a span through a stack. What the samplers leave out on purpose is no leg: it ends at them."""
    stored = STORED_IN_JAEGER if settings.traces.backend == "jaeger" else STORED_IN_TEMPO
    sampled = settings.collector.sampling is not None
    return (
        Leg(
            name="service",
            title="in the services",
            source=ENDED,
            target=EXPORTED,
            given_up=(DROPPED, REFUSED),
            waiting='{__name__=~"tracing_(queue|buffer|in_flight)_items",signal="traces"}',
        ),
        Leg(
            name="handover",
            title="between services and Collectors",
            source=EXPORTED,
            target=ACCEPTED,
            others_send=True,
        ),
        Leg(
            name="collector",
            title="in the Collectors",
            source=ACCEPTED,
            target=SENT,
            given_up=(REFUSED_BY_STORE, _in_damaged_queues("kafka" if sampled else "otlp_grpc")),
            waiting='otelcol_exporter_queue_size{job="collector",data_type="traces"}',
        ),
        *(
            [
                Leg(
                    name="kafka",
                    title="in Kafka",
                    source=SENT,
                    target=READ,
                    idle='sum(otelcol_kafka_receiver_offset_lag{job="sampler"}) == 0',
                )
            ]
            if sampled
            else []
        ),
        Leg(
            name="store",
            title="between the last Collector and the store",
            source=KEPT if sampled else SENT,
            target=stored,
        ),
    )


def stages(settings: Settings) -> tuple[Stage, ...]:
    """All stages of a stack, on the way of a span."""
    found: dict[str, Stage] = {}
    for leg in legs(settings):
        for stage in (leg.source, *leg.given_up, leg.target):
            found.setdefault(stage.name, stage)
    return tuple(found.values())


def jobs_on_the_way(settings: Settings) -> tuple[str, ...]:
    """The scrape jobs of the processes that a span passes through."""
    sampler = (endpoints.SAMPLER,) if settings.collector.sampling else ()
    return (*endpoints.SERVICES, endpoints.COLLECTOR, *sampler, "trace-store")


def processes_ended(settings: Settings, window: str) -> str:
    """Query: how many processes on the way ended within the window, most of which have a successor."""
    on_the_way = f'job=~"{"|".join(jobs_on_the_way(settings))}"'
    gone = f"count(count_over_time(up{{{on_the_way}}}[{window}])) - (count(up{{{on_the_way}}} == 1) or vector(0))"
    restarted = (
        f"(sum(changes(process_start_time_seconds{{{on_the_way}}}[{window}])) or vector(0))",
        f"(sum(resets(otelcol_process_uptime_seconds_total{{{on_the_way}}}[{window}])) or vector(0))",
    )
    return " + ".join((gone, *restarted))


def unseen_seconds(settings: Settings) -> int:
    """Time before its end, in s, whose spans a process may have counted without being scraped again."""
    return settings.metrics.scrape_interval_seconds + _STOP_SECONDS
