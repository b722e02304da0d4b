"""The dashboard *Tracing pipeline*: can the traces be trusted?"""

from typing import Final

from contracts import metrics
from contracts.metrics import INSTANCE, JOB, ROUTE, TRACE_STORE_JOB
from dashboards import proofs
from dashboards.config import MonitoringConfig
from dashboards.dashboard import Dashboard, Row, of_services
from dashboards.panels import (
    ERROR_COLOR,
    SUCCESS_COLOR,
    WARNING_COLOR,
    Panel,
    Query,
    State,
    Thresholds,
    logs,
    per_second,
    stat,
    state_timeline,
    timeseries,
)
from dashboards.queries import (
    COLLECTOR_JOBS,
    GIVEN_UP_SPANS,
    OTLP_TRACES,
    RATE_INTERVAL,
    TRACES,
    buckets,
    equals,
    quantile,
    rate,
    ratio,
    series,
)
from dashboards.rules.accounting import RATE as SPAN_RATE
from dashboards.rules.accounting import WAITING, unexplained
from dashboards.rules.stages import stages

_QUEUE_LABELS: Final = f"{JOB}, {INSTANCE}"
_QUEUE: Final = f"sum by ({_QUEUE_LABELS}) ({series(metrics.SENDING_QUEUE_SIZE, COLLECTOR_JOBS, OTLP_TRACES)})"
_CAPACITY: Final = f"sum by ({_QUEUE_LABELS}) ({series(metrics.SENDING_QUEUE_CAPACITY, COLLECTOR_JOBS, OTLP_TRACES)})"
_COLLECTOR: Final = "{{job}} {{instance}}"


@of_services
def export_success(_: MonitoringConfig) -> Panel:
    """Share of the export requests that succeeded."""
    requests = series(metrics.EXPORT_REQUESTS, TRACES)
    succeeded = series(metrics.EXPORT_REQUESTS, TRACES, equals("code", "ok"))
    return stat(
        "Export success",
        "Share of the services' export requests that succeeded.",
        ratio(succeeded, requests, RATE_INTERVAL),
        unit="percentunit",
        thresholds=Thresholds(0.999, 0.99, rising=False),
        decimals=2,
    )


def missing_spans(config: MonitoringConfig) -> Panel:
    """Spans that were lost without being counted."""
    return stat(
        "Missing spans",
        "Spans of the last 30 minutes that are not stored, do not wait, and are not counted as dropped or refused, as"
        " far as ended processes do not explain them. After ten minutes above 0 the alert `SpansMissing` fires.",
        Query(expr=unexplained(config), legend="{{leg}}"),
        unit="short",
        thresholds=Thresholds(None, 1),
        normally_empty="there are no metrics of 30 minutes yet.",
        width=6,
    )


@of_services
def given_up_spans(_: MonitoringConfig) -> Panel:
    """Spans that were dropped or refused."""
    return stat(
        "Dropped or refused spans",
        "Spans per second that the services dropped or the Collectors refused.",
        f"{rate(GIVEN_UP_SPANS, RATE_INTERVAL)} or vector(0)",
        unit=per_second("spans"),
        thresholds=Thresholds(None, 0.001),
        width=6,
    )


def fullest_queue(_: MonitoringConfig) -> Panel:
    """Use of the fullest sending queue."""
    return stat(
        "Fullest queue",
        "Share of its capacity that the fullest sending queue of the Collectors uses.",
        f"max({_QUEUE} / {_CAPACITY})",
        unit="percentunit",
        thresholds=Thresholds(0.2, 0.5),
    )


def trace_store(config: MonitoringConfig) -> Panel | None:
    """Pods of the trace store that are up; None for a store that the stack did not build."""
    if not config.trace_store_scraped:
        return None
    return stat(
        "Trace store",
        "Whether all pods of the trace store answer Prometheus.",
        f"min({series(metrics.UP, equals(JOB, TRACE_STORE_JOB))})",
        unit="short",
        thresholds=Thresholds(None, 1, rising=False),
        values={"0": "Down", "1": "Up"},
    )


def spans_by_stage(config: MonitoringConfig) -> Panel:
    """Spans per second at each stage."""
    return timeseries(
        "Spans per second, by stage",
        "From ended in a service to received by the trace store. The lines are equal while no span is lost; with"
        " sampling, those of the last stages are lower.",
        [
            Query(expr=series(SPAN_RATE, equals("stage", stage.name)), legend=f"{number}. {stage.title}")
            for number, stage in enumerate(stages(config), 1)
        ],
        unit=per_second("spans"),
        width=24,
        table=True,
    )


def waiting_spans(_: MonitoringConfig) -> Panel:
    """Spans in buffers and queues."""
    return timeseries(
        "Waiting spans",
        "Spans in the services' buffers and in the Collectors' queues.",
        [Query(expr=f"sum by (leg) ({WAITING})", legend="in the {{leg}}")],
        unit="short",
        width=24,
        height=6,
    )


def store_queries(config: MonitoringConfig) -> Panel | None:
    """Duration of the trace store's answers; None for Jaeger, which does not count its queries by kind."""
    if not (config.trace_store_scraped and config.trace_backend == "tempo"):
        return None
    routes = {"api_v2_traces_traceid": "trace by id", "api_search": "search", "api_metrics_query_range": "metrics"}

    def p95(route: str) -> str:
        answers = buckets(metrics.STORE_REQUEST_DURATION, equals(JOB, TRACE_STORE_JOB), equals(ROUTE, route))
        return quantile(0.95, answers, RATE_INTERVAL)

    return timeseries(
        "p95 duration of queries, by kind",
        "95 % of the trace store's answers take at most this long: a trace by its id, a search, and metrics that it"
        " computes from traces. An engineer who opens a trace waits for it.",
        [Query(expr=p95(route), legend=kind) for route, kind in routes.items()],
        unit="s",
        normally_empty="no trace was searched or opened.",
        width=24,
        height=6,
    )


@of_services
def circuit_breaker(_: MonitoringConfig) -> Panel:
    """State of the exporters' circuit breakers."""
    return state_timeline(
        "Circuit breaker",
        "Closed: the service exports. Half-open: it tries one request. Open: it exports nothing.",
        Query(expr=f"max by ({JOB}) ({series(metrics.BREAKER_STATE, TRACES)})", legend="{{job}}"),
        {0: State("closed", SUCCESS_COLOR), 1: State("half-open", WARNING_COLOR), 2: State("open", ERROR_COLOR)},
        width=8,
    )


@of_services
def buffer(_: MonitoringConfig) -> Panel:
    """Use of the exporters' buffers."""
    used, capacity = series(metrics.BUFFER_BYTES, TRACES), series(metrics.BUFFER_CAPACITY, TRACES)
    return timeseries(
        "Buffer",
        "Share of the memory that a service has for spans which no Collector has accepted yet.",
        [Query(expr=f"max by ({JOB}) ({used} / {capacity})", legend="{{job}}")],
        unit="percentunit",
        thresholds=Thresholds(None, 0.5),
        width=8,
    )


@of_services
def cost(_: MonitoringConfig) -> Panel:
    """CPU time per span."""
    seconds = rate(metrics.TRACING_OVERHEAD, RATE_INTERVAL, JOB)
    spans = rate(series(metrics.SPANS_ENDED, TRACES), RATE_INTERVAL, JOB)
    return timeseries(
        "CPU time of tracing, per span",
        "CPU time that a service needs to start, encode and export one span.",
        [Query(expr=f"{seconds} / ({spans} > 0)", legend="{{job}}")],
        unit="s",
        thresholds=Thresholds(None, 0.001),
        width=8,
    )


def collector_traffic(_: MonitoringConfig) -> Panel:
    """Spans that the Collectors accept, refuse and send."""

    def rate_of(counter: str) -> str:
        return rate(series(counter, COLLECTOR_JOBS), RATE_INTERVAL, JOB)

    return timeseries(
        "Accepted, refused and sent",
        "Spans per second. The sender keeps refused spans and sends them again.",
        [
            Query(expr=rate_of(metrics.ACCEPTED_SPANS), legend="{{job}} accepted"),
            Query(expr=rate_of(metrics.REFUSED_SPANS), legend="{{job}} refused"),
            Query(expr=rate_of(metrics.SENT_SPANS), legend="{{job}} sent"),
        ],
        unit=per_second("spans"),
    )


def collector_queue(_: MonitoringConfig) -> Panel:
    """Spans in each Collector's sending queue."""
    return timeseries(
        "Sending queue, by Collector",
        "Spans on disk that the next receiver (the trace store, or Kafka with sampling) has not accepted yet.",
        [Query(expr=_QUEUE, legend=_COLLECTOR)],
        unit="short",
    )


def queue_volume(_: MonitoringConfig) -> Panel:
    """State of the volume of each Collector's queues."""
    state = f"max by ({INSTANCE}) ({metrics.QUEUE_VOLUME_FULL} + {metrics.QUEUE_PAUSED})"
    return state_timeline(
        "Volume of the queues, by Collector",
        "Whether it has free space. If it has none and a queue has used up its reserve, the Collector is paused.",
        Query(expr=state, legend="{{instance}}"),
        {0: State("has room", SUCCESS_COLOR), 1: State("full", WARNING_COLOR), 2: State("paused", ERROR_COLOR)},
        width=24,
    )


def collector_cpu(_: MonitoringConfig) -> Panel:
    """CPU of each Collector."""
    cpu = series(metrics.COLLECTOR_CPU, COLLECTOR_JOBS)
    return timeseries(
        "CPU, by Collector",
        "Cores in use.",
        [Query(expr=f"rate({cpu}[{RATE_INTERVAL}])", legend=_COLLECTOR)],
        unit="count:cores",
    )


def collector_memory(_: MonitoringConfig) -> Panel:
    """Memory of each Collector."""
    memory = series(metrics.COLLECTOR_MEMORY, COLLECTOR_JOBS)
    return timeseries("Memory, by Collector", "Resident memory.", [Query(expr=memory, legend=_COLLECTOR)], unit="bytes")


@of_services
def exporter_logs(config: MonitoringConfig) -> Panel | None:
    """Log lines of the tracing library."""
    return logs(
        config,
        "Problems that the exporters logged",
        "Log lines of the tracing library inside the services.",
        '{service_name=~".+"} | logger_name=~"lean_tracing.*"',
        normally_empty="the library logs problems only.",
    )


DASHBOARD: Final = Dashboard(
    uid="tracing-pipeline",
    title="Tracing pipeline",
    question="Can the traces be trusted? Counts the spans at every stage from the services to the trace store, and "
    "shows what tracing costs.",
    rows=(
        Row("Now", (export_success, missing_spans, given_up_spans, fullest_queue, trace_store)),
        proofs.ROW,
        Row("Span accounting", (spans_by_stage, waiting_spans)),
        Row("Trace store", (store_queries,)),
        Row("Services", (circuit_breaker, buffer, cost)),
        Row("Collectors", (collector_traffic, collector_queue, collector_cpu, collector_memory, queue_volume)),
        Row("Logs", (exporter_logs,)),
    ),
)
