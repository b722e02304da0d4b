"""Span accounting: what comes into each leg of the way is what goes out of it, and the difference is an alert."""

from typing import Final

from contracts import endpoints
from dashboards.queries import each_grown, grown
from dashboards.rules.model import AlertRule, RecordingRule, RuleGroup
from dashboards.rules.stages import Leg, jobs_on_the_way, legs, processes_ended, stages, unseen_seconds
from stack.settings import Settings

RATE: Final = "tracing_spans:rate"
"""Spans a second, by stage."""
GROWN: Final = "tracing_spans:grown30m"
WAITING: Final = "tracing_spans_waiting:sum"
MISSING: Final = "tracing_spans_missing:30m"
ENDED: Final = "tracing_processes_ended:30m"
"""Processes on the way that ended within the window, most of which have a successor."""

_WINDOW: Final = "30m"
# Stages are scraped at different moments: with a load that grows tenfold in half an hour that alone makes 0.9 %.
_TOLERANCE: Final = 0.01
_OWN: Final = 'job=~"collector|sampler"'
_TOO_EARLY: Final = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total"
_QUEUE: Final = f'otelcol_exporter_queue_size{{{_OWN},data_type="traces"}}'


def accounting(settings: Settings) -> tuple[RuleGroup, ...]:
    """The counts of all stages, the differences, and the alerts on both."""
    return (RuleGroup(name="span-accounting", rules=(*_records(settings), *_alerts(settings))),)


def _records(settings: Settings) -> tuple[RecordingRule, ...]:
    way = legs(settings)
    return (
        *(
            RecordingRule(name=RATE, query=f"sum(rate({stage.counter}[1m])) or vector(0)", labels={"stage": stage.name})
            for stage in stages(settings)
        ),
        *(
            RecordingRule(
                name=GROWN,
                query=f"sum({each_grown(stage.counter, _WINDOW)}) or vector(0)",
                labels={"stage": stage.name},
            )
            for stage in stages(settings)
        ),
        *(
            RecordingRule(name=WAITING, query=f"sum({leg.waiting}) or vector(0)", labels={"leg": leg.name})
            for leg in way
            if leg.waiting
        ),
        RecordingRule(name=ENDED, query=_ended(settings)),
        *(RecordingRule(name=MISSING, query=_missing(leg), labels={"leg": leg.name}) for leg in way),
    )


def _ended(settings: Settings) -> str:
    """How many processes on the way ended within the window; no result while there is no whole window yet.

    What a process counted after its last scrape is not known.
    """
    on_the_way = f'job=~"{"|".join(jobs_on_the_way(settings))}"'
    return f"{processes_ended(settings, _WINDOW)} and on() count(up{{{on_the_way}}} offset {_WINDOW})"


def _missing(leg: Leg) -> str:
    """Spans of the last half hour that came into a leg and neither left it nor wait in it."""

    def passed(name: str) -> str:
        return f'sum({GROWN}{{stage="{name}"}})'

    parts = [passed(leg.source.name), *(passed(stage.name) for stage in (*leg.given_up, leg.target))]
    if leg.waiting:
        waiting = f'{WAITING}{{leg="{leg.name}"}}'
        parts.append(f"(sum({waiting}) - sum({waiting} offset {_WINDOW}))")
    query = f"{' - '.join(parts)} and on() {ENDED}"
    return f"({query}) and on() ({leg.idle})" if leg.idle else query


def _alerts(settings: Settings) -> tuple[AlertRule, ...]:
    of, by = "instance, queue", "job, exporter, error_type"
    unseen = unseen_seconds(settings)
    lost = tuple(
        AlertRule(
            name="SpansMissing",
            # Each process that ended may have counted so much more than is known, at the highest rate.
            query=f'{MISSING}{{leg="{leg.name}"}} > {_TOLERANCE} * scalar({GROWN}{{stage="{leg.source.name}"}})'
            f' + {unseen} * scalar({ENDED}) * scalar(max_over_time({RATE}{{stage="{leg.source.name}"}}[{_WINDOW}]))',
            for_="10m",
            severity="page",
            summary=f"Spans vanish {leg.title}",
            description=f"{{{{ $value | humanize }}}} spans of the last half hour were {leg.source.title} and are not "
            f"{leg.target.title}, wait nowhere and were given up for no reason that is counted.",
            dashboard="tracing",
            labels={"leg": leg.name},
        )
        for leg in legs(settings)
    )
    return (
        *lost,
        AlertRule(
            name="SpansDropped",
            query='sum by (job, reason) (rate({__name__=~"tracing_items_(dropped|refused)_total",signal="traces"}[5m]))'
            " > 0",
            for_="5m",
            severity="ticket",
            summary="{{ $labels.job }} gives up spans: {{ $labels.reason }}",
            description="{{ $value | humanize }} spans a second.",
            dashboard="tracing",
        ),
        AlertRule(
            name="CollectorRefuses",
            query=f"sum by (job, instance) (rate(otelcol_receiver_refused_spans_total{{{_OWN}}}[5m])"
            f" + rate(otelcol_receiver_failed_spans_total{{{_OWN}}}[5m])) > 0",
            for_="5m",
            severity="ticket",
            summary="{{ $labels.instance }} ({{ $labels.job }}) refuses spans",
            description="{{ $value | humanize }} spans a second; the senders keep them and come again.",
            dashboard="tracing",
        ),
        AlertRule(
            name="CollectorQueueFills",
            query=f'otelcol_exporter_queue_size{{{_OWN},data_type="traces"}}'
            f' > 0.5 * otelcol_exporter_queue_capacity{{{_OWN},data_type="traces"}}',
            for_="5m",
            severity="page",
            summary="The queue of {{ $labels.instance }} ({{ $labels.job }}) is more than half full",
            description="{{ $value | humanize }} spans wait for a receiver that does not take them fast enough.",
            dashboard="tracing",
        ),
        AlertRule(
            name="CollectorQueueStuck",
            # What was refused for want of disk stays in the size until the next span is drained.
            query=f"min_over_time({_QUEUE}[30s]) > 0 and {_QUEUE} offset 30s > 0"
            f" unless on (instance) {grown(f'otelcol_exporter_sent_spans_total{{{_OWN}}}', '30s', 'instance')} > 0",
            for_="0s",
            severity="page",
            summary="{{ $labels.instance }} ({{ $labels.job }}) sends nothing of what is in its queue",
            description="{{ $value | humanize }} spans have waited for half a minute, and none was sent.",
            dashboard="tracing",
        ),
        AlertRule(
            name="ExportRefused",
            query=" or ".join(
                grown(f'otelcol_exporter_send_failed_{items}_total{{{_OWN},error_permanent="true"}}', "5m", by) + " > 0"
                for items in ("spans", "log_records", "metric_points")
            ),
            for_="0s",
            severity="ticket",
            summary="What {{ $labels.exporter }} of {{ $labels.job }} sends is refused for good",
            description="{{ $value | humanize }} items within five minutes were refused, for {{ $labels.error_type }}, "
            "and are lost: sent again they would be refused again.",
            dashboard="tracing",
        ),
        AlertRule(
            name="QueueSetAside",
            query=f"{grown('collector_queue_items_lost_total', '15m', of)}"
            f" and on ({of}) {grown('collector_queue_files_set_aside_total', '15m', of)} > 0",
            for_="0s",
            severity="ticket",
            summary="The file {{ $labels.queue }} of {{ $labels.instance }} was damaged and set aside",
            description="{{ $value | humanize }} items were in it, as far as that was known. They are lost.",
            dashboard="tracing",
            service=endpoints.COLLECTOR,
        ),
        AlertRule(
            name="CollectorDown",
            query=f'up{{{_OWN}}} == 0 or absent(up{{job="collector"}})',
            # A rolling update of a single one takes about ten seconds.
            for_="20s",
            severity="page",
            summary="A Collector ({{ $labels.job }}) does not answer",
            description="{{ $labels.instance }} cannot be scraped; what is in its queue waits on its volume.",
            dashboard="tracing",
        ),
        *(
            (
                AlertRule(
                    name="SamplerBehind",
                    query='sum(otelcol_kafka_receiver_offset_lag{job="sampler"}) > 0 and on()'
                    ' deriv(sum(otelcol_kafka_receiver_offset_lag{job="sampler"})[10m:1m]) > 0',
                    for_="10m",
                    severity="page",
                    summary="The samplers fall behind",
                    description="{{ $value | humanize }} messages wait in Kafka, and more every minute.",
                    dashboard="tracing",
                ),
                AlertRule(
                    name="SamplerDropsTraces",
                    query=f"{grown(_TOO_EARLY, '5m', '')} > 0",
                    for_="1m",
                    severity="page",
                    summary="The samplers give up traces before they have decided on them",
                    description="{{ $value | humanize }} traces a second did not fit into their memory.",
                    dashboard="tracing",
                ),
            )
            if settings.collector.sampling
            else ()
        ),
    )
