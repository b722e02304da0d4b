"""Span accounting: all spans that come into a leg of the way go out of it; alerts report the difference."""

from typing import Final

from contracts import endpoints, metrics
from contracts.metrics import INSTANCE, JOB
from dashboards.config import MonitoringConfig
from dashboards.queries import (
    COLLECTOR_JOBS,
    GIVEN_UP_SPANS,
    OTLP_TRACES,
    equals,
    exact_increase,
    exact_increases,
    rate,
    series,
)
from dashboards.rules.model import AlertRule, RecordingRule, RuleGroup
from dashboards.rules.stages import Leg, legs, of_span_jobs, processes_ended, stages, unseen_seconds

RATE: Final = "tracing_spans:rate"
"""Spans per second, by stage."""
GROWN: Final = "tracing_spans:grown30m"
"""Spans of the window, by stage."""
WAITING: Final = "tracing_spans_waiting:sum"
"""Spans that wait, by leg."""
MISSING: Final = "tracing_spans_missing:30m"
"""Spans of the window that came into a leg and did not leave it, by leg."""
ENDED: Final = "tracing_processes_ended:30m"
"""Processes on the way that ended within the window, most of which have a successor."""

_WINDOW: Final = "30m"
# Prometheus scrapes the stages at different moments. If the load grows tenfold in half an hour, that makes 0.9 %.
_TOLERANCE: Final = 0.01
_QUEUE: Final = series(metrics.SENDING_QUEUE_SIZE, COLLECTOR_JOBS, OTLP_TRACES)
_SAMPLER_LAG: Final = series(metrics.SAMPLER_LAG, equals(JOB, endpoints.SAMPLER))


def accounting(config: MonitoringConfig) -> RuleGroup:
    """Return the counts of all stages, the differences, and the alerts on both."""
    return RuleGroup(
        name="span-accounting",
        rules=(
            *_records(config),
            *(_spans_missing(config, leg) for leg in legs(config)),
            *((_spans_dropped(),) if config.services else ()),
            _collector_refuses(),
            _collector_queue_fills(),
            _collector_queue_stuck(),
            _export_refused(),
            _queue_set_aside(),
            _collector_volume_full(),
            _collector_down(),
            *((_sampler_behind(), _sampler_drops_traces()) if config.tail_sampling else ()),
        ),
    )


def _records(config: MonitoringConfig) -> tuple[RecordingRule, ...]:
    way = legs(config)
    return (
        *(
            RecordingRule(name=RATE, query=f"sum(rate({stage.counter}[1m])) or vector(0)", labels={"stage": stage.name})
            for stage in stages(config)
        ),
        *(
            RecordingRule(
                name=GROWN,
                query=f"sum({exact_increases(stage.counter, _WINDOW)}) or vector(0)",
                labels={"stage": stage.name},
            )
            for stage in stages(config)
        ),
        *(
            RecordingRule(name=WAITING, query=f"sum({leg.waiting}) or vector(0)", labels={"leg": leg.name})
            for leg in way
            if leg.waiting
        ),
        RecordingRule(name=ENDED, query=_ended(config)),
        *(RecordingRule(name=MISSING, query=_missing(leg), labels={"leg": leg.name}) for leg in way),
    )


def _ended(config: MonitoringConfig) -> str:
    """Return how many processes on the way ended within the window; no result before the first whole window.

    What a process counted after its last scrape is not known.
    """
    up = series(metrics.UP, of_span_jobs(config))
    return f"{processes_ended(config, _WINDOW)} and on() count({up} offset {_WINDOW})"


def _missing(leg: Leg) -> str:
    """Return the spans of the window that came into a leg and neither left it nor wait in it."""
    stages_out = (*leg.given_up, leg.target)
    parts = [f"sum({series(GROWN, equals('stage', stage.name))})" for stage in (leg.source, *stages_out)]
    if leg.waiting:
        waiting = series(WAITING, equals("leg", leg.name))
        parts.append(f"(sum({waiting}) - sum({waiting} offset {_WINDOW}))")
    query = f"{' - '.join(parts)} and on() {ENDED}"
    return f"({query}) and on() ({leg.idle})" if leg.idle else query


def _spans_missing(config: MonitoringConfig, leg: Leg) -> AlertRule:
    return AlertRule(
        name="SpansMissing",
        query=f"{series(MISSING, equals('leg', leg.name))} > {_tolerated(config, leg)}",
        for_="10m",
        severity="page",
        summary=f"Spans are missing {leg.title}",
        description=f"{{{{ $value | humanize }}}} spans of the last 30 minutes were {leg.source.title} but not"
        f" {leg.target.title}. They wait nowhere, and no counter gives a reason.",
        dashboard="tracing-pipeline",
        labels={"leg": leg.name},
    )


def _tolerated(config: MonitoringConfig, leg: Leg) -> str:
    """Return how many spans of a leg may be missing within the window without an alert."""
    source = equals("stage", leg.source.name)
    highest_rate = f"max_over_time({series(RATE, source)}[{_WINDOW}])"
    # Each process that ended may have counted spans that no scrape saw, at most at the highest rate.
    return (
        f"{_TOLERANCE} * scalar({series(GROWN, source)})"
        f" + {unseen_seconds(config)} * scalar({ENDED}) * scalar({highest_rate})"
    )


def unexplained(config: MonitoringConfig) -> str:
    """Return the missing spans of each leg that are more than its alert tolerates."""
    return " or ".join(
        f"clamp_min({series(MISSING, equals('leg', leg.name))} - ({_tolerated(config, leg)}), 0)"
        for leg in legs(config)
    )


def _spans_dropped() -> AlertRule:
    return AlertRule(
        name="SpansDropped",
        query=f"{rate(GIVEN_UP_SPANS, '5m', JOB, 'reason')} > 0",
        for_="5m",
        severity="ticket",
        summary="{{ $labels.job }} drops spans: {{ $labels.reason }}",
        description="{{ $value | humanize }} spans per second.",
        dashboard="tracing-pipeline",
    )


def _collector_refuses() -> AlertRule:
    refused, failed = (
        f"rate({series(name, COLLECTOR_JOBS)}[5m])" for name in (metrics.REFUSED_SPANS, metrics.FAILED_SPANS)
    )
    return AlertRule(
        name="CollectorRefuses",
        query=f"sum by ({JOB}, {INSTANCE}) ({refused} + {failed}) > 0",
        for_="5m",
        severity="ticket",
        summary="{{ $labels.instance }} ({{ $labels.job }}) refuses spans",
        description="{{ $value | humanize }} spans per second. The senders keep them and send them again.",
        dashboard="tracing-pipeline",
    )


def _collector_queue_fills() -> AlertRule:
    return AlertRule(
        name="CollectorQueueFills",
        query=f"{_QUEUE} > 0.5 * {series(metrics.SENDING_QUEUE_CAPACITY, COLLECTOR_JOBS, OTLP_TRACES)}",
        for_="5m",
        severity="page",
        summary="The sending queue of {{ $labels.instance }} ({{ $labels.job }}) is more than half full",
        description="{{ $value | humanize }} spans wait, because the receiver does not accept them fast enough.",
        dashboard="tracing-pipeline",
    )


def _collector_queue_stuck() -> AlertRule:
    sent = exact_increase(series(metrics.SENT_SPANS, COLLECTOR_JOBS), "30s", INSTANCE)
    return AlertRule(
        name="CollectorQueueStuck",
        # Spans that were refused because the disk is full stay in the size until the next span is sent.
        query=f"min_over_time({_QUEUE}[30s]) > 0 and {_QUEUE} offset 30s > 0 unless on ({INSTANCE}) {sent} > 0",
        for_="0s",
        severity="page",
        summary="{{ $labels.instance }} ({{ $labels.job }}) sends no span from its queue",
        description="{{ $value | humanize }} spans have waited for 30 seconds, and none was sent.",
        dashboard="tracing-pipeline",
    )


def _export_refused() -> AlertRule:
    counters = (metrics.SEND_FAILED_SPANS, metrics.SEND_FAILED_LOGS, metrics.SEND_FAILED_METRICS)
    permanent = (series(counter, COLLECTOR_JOBS, equals("error_permanent", "true")) for counter in counters)
    return AlertRule(
        name="ExportRefused",
        query=" or ".join(
            f"{exact_increase(counter, '5m', JOB, 'exporter', 'error_type')} > 0" for counter in permanent
        ),
        for_="0s",
        severity="ticket",
        summary="The receiver of {{ $labels.exporter }} of {{ $labels.job }} refuses data for good",
        description="{{ $value | humanize }} items of the last 5 minutes were refused ({{ $labels.error_type }}) and"
        " are lost. The receiver would refuse them again, so they are not sent again.",
        dashboard="tracing-pipeline",
    )


def _queue_set_aside() -> AlertRule:
    queue = (INSTANCE, "queue")
    lost = exact_increase(metrics.QUEUE_ITEMS_LOST, "15m", *queue)
    files = exact_increase(metrics.QUEUE_FILES_SET_ASIDE, "15m", *queue)
    return AlertRule(
        name="QueueSetAside",
        query=f"{lost} and on ({', '.join(queue)}) {files} > 0",
        for_="0s",
        severity="ticket",
        summary="The queue file {{ $labels.queue }} of {{ $labels.instance }} was damaged and quarantined",
        description="The file held {{ $value | humanize }} items, as far as is known. They are lost.",
        dashboard="tracing-pipeline",
        service=endpoints.COLLECTOR,
    )


def _collector_volume_full() -> AlertRule:
    return AlertRule(
        name="CollectorVolumeFull",
        query=f"max by ({INSTANCE}) ({metrics.QUEUE_VOLUME_FULL}) == 1",
        for_="0s",
        severity="page",
        summary="The volume with the queues of {{ $labels.instance }} is full",
        description="The Collector uses the room that its queue files have reserved. Before it is used up, the guard"
        " pauses the Collector until there is room again. Nothing is lost: the senders keep their spans meanwhile.",
        dashboard="tracing-pipeline",
        service=endpoints.COLLECTOR,
    )


def _collector_down() -> AlertRule:
    one_down = f"{series(metrics.UP, COLLECTOR_JOBS)} == 0"
    all_gone = f"absent({series(metrics.UP, equals(JOB, endpoints.COLLECTOR))})"
    return AlertRule(
        name="CollectorDown",
        query=f"{one_down} or {all_gone}",
        # A rolling update of a single Collector takes about ten seconds.
        for_="20s",
        severity="page",
        summary="A Collector ({{ $labels.job }}) does not answer",
        description="Prometheus cannot scrape {{ $labels.instance }}. The spans in its queue wait on its volume.",
        dashboard="tracing-pipeline",
    )


def _sampler_behind() -> AlertRule:
    lag = f"sum({_SAMPLER_LAG})"
    return AlertRule(
        name="SamplerBehind",
        query=f"{lag} > 0 and on() deriv({lag}[10m:1m]) > 0",
        for_="10m",
        severity="page",
        summary="The samplers are too slow",
        description="{{ $value | humanize }} messages wait in Kafka, and their number grows.",
        dashboard="tracing-pipeline",
    )


def _sampler_drops_traces() -> AlertRule:
    return AlertRule(
        name="SamplerDropsTraces",
        query=f"{exact_increase(metrics.DROPPED_TOO_EARLY, '5m')} > 0",
        for_="1m",
        severity="page",
        summary="The samplers drop traces before they decide on them",
        description="{{ $value | humanize }} traces of the last 5 minutes did not fit into the samplers' memory.",
        dashboard="tracing-pipeline",
    )
