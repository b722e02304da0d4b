"""The faults of tracing, metrics and logs."""

from collections.abc import Mapping
from typing import Final

from checks.faults.changes import DROP, deployed, filtered, misconfigured, stopped, to_port, variable
from checks.faults.model import HARD_SECONDS, TELEMETRY_INCOMPLETE, Evidence, Fault
from checks.faults.volumes import queue_volume_full
from contracts import endpoints
from contracts.services import CRAWLER, GATEWAY

_SCALED: Final = "The StatefulSet is scaled to its number of pods."
_REMOVED_RULE: Final = "The rules of iptables in the pod are removed."
_ORIGINAL_POD: Final = "The Deployment gets its original pod template."
_COLLECTORS: Final = '(sum(up{job="collector"}) or vector(0)) == 0'

FAULTS: Final[Mapping[str, Fault]] = {
    "collector-down": Fault(
        title="the Collector has no pod",
        plan=stopped(endpoints.COLLECTOR),
        hops=("collector", "gateway-collector"),
        causes=("stopped",),
        hints=(
            "Requests work. What is missing on the dashboards?",
            "Where do the spans wait? Look at the dashboard Tracing pipeline from top to bottom.",
            "kubectl -n tracing get statefulsets: which one has 0 replicas?",
        ),
        evidence=Evidence(
            dashboard="Tracing pipeline",
            panel="Accepted, refused and sent",
            query=_COLLECTORS,
            trace="There are no new traces. The services' exports end with unavailable.",
            runbook="CollectorDown",
        ),
        undo=_SCALED,
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"CollectorDown", "ExportFails"}),
        seconds=HARD_SECONDS,
    ),
    "collector-misconfigured": Fault(
        title="the Collector refuses its configuration",
        plan=misconfigured(endpoints.COLLECTOR, "config.yaml", lambda text: text.replace("receivers:", "receiver:", 1)),
        hops=("collector",),
        causes=("bad-setting", "crash-loop"),
        hints=(
            "Requests work. What is missing on the dashboards?",
            "The Collector restarts again and again.",
            "kubectl -n tracing logs collector-0 --previous: the last line names the wrong key.",
        ),
        evidence=Evidence(
            dashboard="Tracing pipeline",
            panel="Accepted, refused and sent",
            query=_COLLECTORS,
            trace="There are no new traces. The Collector's log names the wrong key of its configuration.",
            runbook="CollectorDown",
        ),
        undo="The ConfigMap gets its original text, and the pod is replaced.",
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"CollectorDown", "ExportFails"}),
    ),
    "collector-disk-full": Fault(
        title="the volume of the Collector's queue is full",
        plan=queue_volume_full,
        hops=("collector",),
        causes=("disk-full",),
        hints=(
            "Requests work, and new traces are complete. What will soon prevent that?",
            "Which state has each Collector on the dashboard Tracing pipeline?",
            "kubectl -n tracing exec collector-0 -c queue-guard -- df -h /var/lib/otelcol: how much space is free?",
        ),
        evidence=Evidence(
            dashboard="Tracing pipeline",
            panel="Volume of the queues, by Collector",
            query="max by (instance) (collector_queue_volume_full) == 1",
            trace="Traces are complete until the reserve of the queues is used up. Then the Collector is paused, and"
            " there are no new ones.",
            runbook="CollectorVolumeFull",
        ),
        undo="The original volume is mounted again, some seconds after the small one has room.",
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"CollectorVolumeFull"}),
    ),
    "wrong-token": Fault(
        title="the gateway sends another OTLP token than the Collectors accept",
        plan=deployed(GATEWAY, variable("OTLP_TOKEN", "the-token-of-last-year")),
        hops=("gateway-collector", "gateway", "collector"),
        causes=("wrong-secret", "bad-setting"),
        hints=(
            "Requests work. New traces have a gap.",
            "Spans of one service are missing. What do the Collectors answer to its exports?",
            "tracing_export_requests_total has the code of each answer.",
        ),
        evidence=Evidence(
            dashboard="Tracing pipeline",
            panel="Dropped or refused spans",
            query=('sum(rate(tracing_export_requests_total{job="gateway",code="unauthenticated"}[1m])) > 0'),
            trace="New traces have no span of the gateway: their first span has a parent that is missing.",
            runbook="ExportFails",
        ),
        undo=_ORIGINAL_POD,
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"ExportFails", "SpansDropped"}),
    ),
    "not-sampled": Fault(
        title="the gateway samples no trace",
        plan=deployed(GATEWAY, variable("TRACING_SAMPLING_RATE", "0")),
        hops=("gateway",),
        causes=("sampling", "bad-setting"),
        hints=(
            "Requests work. There are no new traces.",
            "No span is dropped or refused. Were spans made at all?",
            "Who decides whether a trace is recorded? kubectl -n tracing set env deployment/gateway --list",
        ),
        evidence=Evidence(
            dashboard="Rollout",
            panel="Spans sampled out",
            query=('(sum(rate(traces_span_metrics_calls_total{service_name="gateway"}[30s])) or vector(0)) < 0.1'),
            trace="There are no new traces, and no export fails. TRACING_SAMPLING_RATE of the gateway is 0.",
        ),
        undo=_ORIGINAL_POD,
        page=TELEMETRY_INCOMPLETE,
    ),
    "torn-traces": Fault(
        title="the crawler ignores the trace context of messages",
        plan=deployed(CRAWLER, variable("OTEL_PROPAGATORS", "none")),
        hops=("web-crawler", "crawler-kafka"),
        causes=("lost-context", "bad-setting"),
        hints=(
            "Requests work. One task has several traces.",
            "At which hop does a trace end, and which span begins a trace although it should have a parent?",
            "What changed last? kubectl -n tracing rollout history deployment/web-crawler",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Latest traces",
            trace="A trace ends at 'send requests-web-crawl'; 'process requests-web-crawl' is the root of another.",
        ),
        undo=_ORIGINAL_POD,
        page=TELEMETRY_INCOMPLETE,
    ),
    "queue-filling": Fault(
        title="the Collector's packets to the trace store are dropped",
        plan=filtered(endpoints.COLLECTOR, [*to_port(endpoints.OTLP_GRPC_PORT), *DROP]),
        hops=("collector-store",),
        causes=("cut-off",),
        hints=(
            "Requests work. New traces are not found.",
            "The trace store runs. Where do the spans wait?",
            "The sending queue of the Collector grows: it does not reach the trace store.",
        ),
        evidence=Evidence(
            dashboard="Tracing pipeline",
            panel="Sending queue, by Collector",
            query='max(otelcol_exporter_queue_size{exporter=~"otlp.*"}) > 0'
            ' and on () sum(rate(otelcol_exporter_sent_spans_total{job="collector"}[30s])) == 0',
            trace="Traces from before can be opened, new ones cannot.",
            runbook="CollectorQueueStuck",
        ),
        undo=_REMOVED_RULE,
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"CollectorQueueStuck"}),
        seconds=HARD_SECONDS,
    ),
    "logs-missing": Fault(
        title="Loki has no pod",
        plan=stopped(endpoints.LOKI),
        hops=("loki",),
        causes=("stopped",),
        hints=(
            "Requests work. A signal is missing in Grafana.",
            "Are there new traces, metrics and log lines?",
            "kubectl -n tracing get statefulsets: which one has 0 replicas?",
        ),
        evidence=Evidence(
            dashboard="Tracing pipeline",
            panel="Problems that the exporters logged",
            query='(sum(up{job="log-store"}) or vector(0)) == 0',
            trace="A span's link to its log lines shows an error.",
            runbook="LogStoreDown",
        ),
        undo=_SCALED,
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"LogStoreDown"}),
    ),
    "not-scraped": Fault(
        title="Prometheus' packets to the services are dropped",
        plan=filtered(endpoints.PROMETHEUS, [*to_port(endpoints.SERVICE_PORT), *DROP]),
        hops=("prometheus-services", "prometheus"),
        causes=("cut-off",),
        hints=(
            "An alert says that the services are down. Are they? Send a request.",
            "The services answer users. Which program says that they do not?",
            "The targets of Prometheus have the error of each scrape.",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Pods up",
            query='sum(up{job=~"gateway|task-manager|web-crawler"}) == 0',
            trace="Traces and log lines are complete; only metrics of the services are missing.",
            runbook="ServiceDown",
        ),
        undo=_REMOVED_RULE,
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"ServiceDown"}),
    ),
}


def store_down(store: str) -> Fault:
    """The trace store is stopped.

    Args:
        store: its workload.
    """
    return Fault(
        title="the trace store has no pod",
        plan=stopped(store),
        hops=("trace-store", "collector-store"),
        causes=("stopped",),
        hints=(
            "Requests work. Traces are not found.",
            "The Collectors accept spans and do not send them on.",
            "kubectl -n tracing get statefulsets: which one has 0 replicas?",
        ),
        evidence=Evidence(
            dashboard="Tracing pipeline",
            panel="Trace store",
            query='(sum(up{job="trace-store"}) or vector(0)) == 0',
            trace="No trace can be opened. The sending queue of the Collectors grows.",
            runbook="TraceStoreDown",
        ),
        undo=_SCALED,
        page=TELEMETRY_INCOMPLETE,
        alerts=frozenset({"TraceStoreDown"}),
        seconds=HARD_SECONDS,
    )
