"""Can the traces be trusted?"""

from dashboards.dashboard import Dashboard, Row
from dashboards.panels import Query, Thresholds, logs, stat, timeseries
from dashboards.queries import share
from dashboards.rules.accounting import MISSING, RATE, WAITING
from stack.settings import Settings

_WINDOW = "$__rate_interval"
_OWN = 'job=~"collector|sampler"'
_TRACES = 'signal="traces"'


def tracing(settings: Settings) -> Dashboard:
    """The way of the spans: counted at every stage, waiting, refused, lost; and what tracing costs."""
    requests = f"tracing_export_requests_total{{{_TRACES}}}"
    exported = f'tracing_export_requests_total{{{_TRACES},code="ok"}}'
    queue = f'sum by (job, instance) (otelcol_exporter_queue_size{{{_OWN},data_type="traces"}})'
    capacity = f'sum by (job, instance) (otelcol_exporter_queue_capacity{{{_OWN},data_type="traces"}})'
    return Dashboard(
        uid="tracing",
        title="Tracing pipeline",
        question="Can the traces be trusted? Every span from where it ends to where it is stored, and what it costs.",
        rows=(
            Row(
                title="Now",
                panels=(
                    stat(
                        "Exports that succeed",
                        "Share of the services' export requests.",
                        share(exported, requests, _WINDOW),
                        unit="percentunit",
                        thresholds=Thresholds(0.999, 0.99, rising=False),
                        decimals=2,
                    ),
                    stat(
                        "Spans that vanished",
                        "Of the last half hour: neither stored nor waiting, nor given up for a reason that is counted.",
                        Query(expr=MISSING, legend="{{leg}}"),
                        unit="short",
                        normally_empty="there is no half hour of metrics to compare yet.",
                        width=8,
                    ),
                    stat(
                        "Given up by the services",
                        "Spans a second that were dropped or refused.",
                        f'sum(rate({{__name__=~"tracing_items_(dropped|refused)_total",{_TRACES}}}[{_WINDOW}]))'
                        " or vector(0)",
                        unit="short",
                        thresholds=Thresholds(None, 0.001),
                    ),
                    stat(
                        "Fullest queue",
                        "Share of its capacity.",
                        f"max({queue} / {capacity})",
                        unit="percentunit",
                        thresholds=Thresholds(0.2, 0.5),
                    ),
                    stat(
                        "Store",
                        "Pods of the trace store that answer.",
                        'sum(up{job="trace-store"})',
                        unit="short",
                        thresholds=Thresholds(None, 1, rising=False),
                    ),
                ),
            ),
            Row(
                title="Every span accounted for",
                panels=(
                    timeseries(
                        "Spans a second, by stage",
                        "From ended in a service to taken by the store. All lines are one line while nothing is lost; "
                        "with sampling the last ones are lower.",
                        [Query(expr=RATE, legend="{{stage}}")],
                        unit="short",
                    ),
                    timeseries(
                        "Waiting",
                        "Spans in the services' buffers and the Collectors' queues.",
                        [Query(expr=f"sum by (leg) ({WAITING})", legend="{{leg}}")],
                        unit="short",
                    ),
                ),
            ),
            Row(
                title="In the services",
                panels=(
                    timeseries(
                        "Circuit breaker",
                        "0 closed: all is well; 1 half-open: one request is tried; 2 open: nothing is sent.",
                        [
                            Query(
                                expr=f"max by (job) (tracing_breaker_state{{{_TRACES}}})",
                                legend="{{job}}",
                            )
                        ],
                        unit="short",
                        thresholds=Thresholds(None, 1),
                        maximum=2,
                        width=8,
                    ),
                    timeseries(
                        "Buffer",
                        "Share of the memory for spans that no Collector could take yet.",
                        [
                            Query(
                                expr=f"max by (job) (tracing_buffer_bytes{{{_TRACES}}}"
                                f" / tracing_buffer_capacity_bytes{{{_TRACES}}})",
                                legend="{{job}}",
                            )
                        ],
                        unit="percentunit",
                        thresholds=Thresholds(None, 0.5),
                        width=8,
                    ),
                    timeseries(
                        "What tracing costs",
                        "CPU time for each span that ends: starting it, encoding and exporting it.",
                        [
                            Query(
                                expr=f"sum by (job) (rate(tracing_overhead_seconds_total[{_WINDOW}]))"
                                f" / (sum by (job) (rate(tracing_items_ended_total{{{_TRACES}}}[{_WINDOW}])) > 0)",
                                legend="{{job}}",
                            )
                        ],
                        unit="s",
                        thresholds=Thresholds(None, 0.001),
                        width=8,
                    ),
                ),
            ),
            Row(
                title="In the Collectors",
                panels=(
                    timeseries(
                        "Accepted, refused and sent",
                        "Spans a second. What is refused is sent again by whoever has it.",
                        [
                            Query(
                                expr=f"sum by (job) (rate(otelcol_receiver_accepted_spans_total{{{_OWN}}}[{_WINDOW}]))",
                                legend="{{job}} accepted",
                            ),
                            Query(
                                expr=f"sum by (job) (rate(otelcol_receiver_refused_spans_total{{{_OWN}}}[{_WINDOW}]))",
                                legend="{{job}} refused",
                            ),
                            Query(
                                expr=f"sum by (job) (rate(otelcol_exporter_sent_spans_total{{{_OWN}}}[{_WINDOW}]))",
                                legend="{{job}} sent",
                            ),
                        ],
                        unit="short",
                    ),
                    timeseries(
                        "Queue, by Collector",
                        "Spans on disk that the store has not taken yet.",
                        [Query(expr=queue, legend="{{job}} {{instance}}")],
                        unit="short",
                    ),
                    timeseries(
                        "CPU",
                        "Cores in use, by Collector.",
                        [
                            Query(
                                expr=f"rate(otelcol_process_cpu_seconds_total{{{_OWN}}}[{_WINDOW}])",
                                legend="{{job}} {{instance}}",
                            )
                        ],
                        unit="short",
                    ),
                    timeseries(
                        "Memory",
                        "Resident, by Collector.",
                        [
                            Query(
                                expr=f"otelcol_process_memory_rss_bytes{{{_OWN}}}",
                                legend="{{job}} {{instance}}",
                            )
                        ],
                        unit="bytes",
                    ),
                ),
            ),
            *(
                (
                    Row(
                        title="Lines",
                        panels=(
                            logs(
                                "What the services say of their exports",
                                "Lines of the tracing library.",
                                '{service_name=~".+"} | logger_name=~"service.tracing.*"',
                                normally_empty="the library only speaks when something is wrong.",
                            ),
                        ),
                    ),
                )
                if settings.logs.enabled
                else ()
            ),
        ),
    )
