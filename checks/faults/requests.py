"""The faults of the services, and of what they call."""

from collections.abc import Mapping
from typing import Any, Final

from checks.faults.changes import (
    DROP,
    RESET,
    WITH_DATA,
    crash_looped,
    deployed,
    filtered,
    share,
    stopped,
    throttled,
    to_port,
    variable,
)
from checks.faults.model import HARD_SECONDS, Evidence, Fault
from checks.rollouts.versions import build
from contracts import endpoints
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from local.jobs import Progress

_DNS_PORT: Final = 53
_RESET_SHARE: Final = 0.22
"""Of the attempts. The gateway repeats a read once, so one read in twenty (0.22 squared) fails."""
_FAILED_PAGES: Final = (
    'sum(rate(crawler_pages_total{outcome!="completed"}[1m])) / sum(rate(crawler_pages_total[1m])) > 0.2'
)
_REMOVED_RULE: Final = "The rules of iptables in the pod are removed."
_ORIGINAL_POD: Final = "The Deployment gets its original pod template."


def _faulty_version() -> Mapping[str, Any]:
    """The image of a version that answers one request in twenty with an error; the first build takes a while."""
    return {"image": build("errors", Progress("image"))}


FAULTS: Final[Mapping[str, Fault]] = {
    "task-manager-down": Fault(
        title="the task-manager has no pod",
        plan=stopped(TASK_MANAGER),
        hops=("task-manager", "gateway-task-manager"),
        causes=("stopped",),
        hints=(
            "Reading tasks fails; creating tasks works.",
            "Look at the panel Pods up of the dashboard Services.",
            "kubectl -n tracing get deployments: which one has 0 replicas?",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Pods up",
            query='(sum(up{job="task-manager"}) or vector(0)) == 0',
            trace="A failed trace of GET /api/tasks/{task_id} ends in the gateway's span: the call was refused.",
            runbook="ServiceDown",
        ),
        undo="The Deployment is scaled to its number of pods.",
        alerts=frozenset({"ServiceDown"}),
        seconds=HARD_SECONDS,
    ),
    "five-percent-errors": Fault(
        title="the gateway's requests to the task-manager are reset at random; one in twenty fails after its retry",
        plan=filtered(GATEWAY, [*to_port(endpoints.SERVICE_PORT), *WITH_DATA, *share(_RESET_SHARE), *RESET]),
        hops=("gateway-task-manager",),
        causes=("resets", "packet-loss"),
        hints=(
            "A part of the requests fails, not all.",
            "Which of the two ends of the call reports errors? The dashboard Dependencies shows the calls.",
            "A failed trace has an error in the gateway's client span and no span of the task-manager below it.",
        ),
        evidence=Evidence(
            dashboard="Dependencies",
            panel="Service map",
            query=(
                # A response 4xx is no failed call: normal traffic reads tasks that are not stored yet.
                'sum(rate(traces_span_metrics_calls_total{service_name="gateway",span_kind="SPAN_KIND_CLIENT",'
                'status_code="STATUS_CODE_ERROR",http_response_status_code!~"4.."}[1m])) > 0.05'
            ),
            trace="The gateway's client span has an error, and the task-manager has no span: the request was lost.",
            runbook="DependencyFails",
        ),
        undo=_REMOVED_RULE,
        alerts=frozenset({"DependencyFails", "ErrorRateHigh"}),
    ),
    "bad-version": Fault(
        title="a new version of the gateway answers one request in twenty with an error",
        plan=deployed(GATEWAY, _faulty_version),
        hops=("gateway",),
        causes=("bad-version",),
        hints=(
            "A part of the requests fails, not all.",
            "Did a deployment come before the errors? The failed spans name their service.version.",
            "The log of the gateway has the exception.",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Error ratio, by service",
            query=(
                'sum(rate(traces_span_metrics_calls_total{service_name="gateway",span_kind="SPAN_KIND_SERVER",'
                'status_code="STATUS_CODE_ERROR"}[1m])) > 0.05'
            ),
            trace="The gateway's server span has the exception 'a bad version' and a new service.version.",
            runbook="ErrorRateHigh",
        ),
        undo=_ORIGINAL_POD,
        alerts=frozenset({"ErrorRateHigh"}),
    ),
    "cpu-limit": Fault(
        title="the task-manager gets half of the CPU time that it needs",
        plan=throttled(TASK_MANAGER, 0.5),
        hops=("task-manager",),
        causes=("cpu-limit",),
        hints=(
            "Requests are slow, and some time out.",
            "One service is slow in all its operations, also in those that call nothing.",
            "Compare the CPU time of its process with its usual CPU time: process_cpu_seconds_total.",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="p99 duration, by service",
            query=(
                "histogram_quantile(0.95, sum by (le) (rate(traces_span_metrics_duration_milliseconds_bucket"
                '{service_name="task-manager",span_kind="SPAN_KIND_CONSUMER"}[1m]))) > 400'
                ' or up{job="task-manager"} == 0'
            ),
            trace="All spans of the task-manager are long, and so are the gaps between them.",
            runbook="RequestsSlow",
        ),
        undo="The container gets its original limit of CPU time.",
        alerts=frozenset({"RequestsSlow", "ServiceDown", "DependencyDown", "MessagesWait", "TasksSlow", "LagGrows"}),
    ),
    "crawler-failing": Fault(
        title="the crawler's connections to web pages are reset",
        plan=filtered(CRAWLER, [*to_port(endpoints.SERVICE_PORT), *RESET]),
        hops=("crawler-pages",),
        causes=("resets", "cut-off"),
        hints=(
            "Tasks are accepted and end with the status error.",
            "Which step of a task fails? The dashboard Tasks shows the pages by outcome.",
            "The spans of the failed fetches name the kind of error.",
        ),
        evidence=Evidence(
            dashboard="Tasks",
            panel="Pages, by outcome",
            query=_FAILED_PAGES,
            trace="The crawler's client span GET has the error ConnectError or ReadError.",
            runbook="CrawlsFail",
        ),
        undo=_REMOVED_RULE,
        alerts=frozenset({"CrawlsFail"}),
        seconds=HARD_SECONDS,
    ),
    "front-door-unreachable": Fault(
        title="the probe's packets to the gateway are dropped, as those of users behind a broken load balancer",
        plan=filtered(endpoints.PROBE, [*to_port(endpoints.SERVICE_PORT), *DROP]),
        hops=("callers-gateway", "gateway"),
        causes=("cut-off",),
        hints=(
            "The services report no error. Who does?",
            "The requests of some callers are in no metric and no trace of the gateway.",
            "The log of the probe says what happens to its connections.",
        ),
        evidence=Evidence(
            dashboard="What is broken",
            panel="Failed probe requests",
            query='sum(increase(telemetry_probe_steps_total{step="request",result="failed"}[5m])) > 0',
            trace="The probe's requests have no trace. Its log lines say ConnectTimeout.",
            runbook="ProbeRequestsFail",
        ),
        undo=_REMOVED_RULE,
        alerts=frozenset({"ProbeRequestsFail"}),
        # Three requests, one a minute, each of which waits for 10 s.
        seconds=240.0,
    ),
    "dns-failing": Fault(
        title="the crawler's queries to the DNS server are dropped",
        plan=filtered(CRAWLER, [*to_port(_DNS_PORT, "udp"), *DROP], [*to_port(_DNS_PORT), *DROP]),
        hops=("crawler-pages", "web-crawler"),
        causes=("dns",),
        hints=(
            "Tasks take long and end with the status error.",
            "The crawler fails before it connects to the page.",
            "The error is about the name of the page's host. Resolve a name in the crawler's pod.",
        ),
        evidence=Evidence(
            dashboard="Tasks",
            panel="Pages, by outcome",
            query=f"{_FAILED_PAGES} or max(kafka_consumer_lag_messages{{topic='requests-web-crawl'}}) > 20",
            trace="The crawler's span has an error about the name, after a long time; the page has no span.",
            runbook="CrawlsFail",
        ),
        undo=_REMOVED_RULE,
        alerts=frozenset({"CrawlsFail", "LagGrows", "MessagesWait", "TasksSlow", "ConsumerStopped"}),
    ),
    "bad-setting": Fault(
        title="a deployment of the crawler allows another host than the one of the pages",
        plan=deployed(CRAWLER, variable("CRAWLER_ALLOWED_HOSTS", "gateway:80")),
        hops=("web-crawler", "crawler-pages"),
        causes=("bad-setting",),
        hints=(
            "Tasks are accepted and end with the status error.",
            "The crawler refuses the pages; it does not try to connect.",
            "What changed last? kubectl -n tracing rollout history deployment/web-crawler",
        ),
        evidence=Evidence(
            dashboard="Tasks",
            panel="Pages, by outcome",
            query=_FAILED_PAGES,
            trace="The crawler's span says that the address is not public; there is no connection.",
            runbook="PagesFail",
        ),
        undo=_ORIGINAL_POD,
    ),
    "crash-loop": Fault(
        title="the crawler's process is killed each time it starts",
        plan=crash_looped(CRAWLER),
        hops=("web-crawler",),
        causes=("crash-loop",),
        hints=(
            "Tasks are accepted and stay new.",
            "Look at the panel Pods up of the dashboard Services.",
            "kubectl -n tracing describe pod of the crawler: how did the container end?",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Pods up",
            query='(sum(up{job="web-crawler"}) or vector(0)) == 0',
            trace="New traces end at the message to requests-web-crawl. The pod's restarts grow, with exit code 137.",
            runbook="ServiceDown",
        ),
        undo="The killing ends, and the pod is replaced.",
        alerts=frozenset({"CrashLoop", "ServiceDown"}),
        seconds=HARD_SECONDS,
    ),
    "out-of-memory": Fault(
        title="the crawler's memory limit is too low to start",
        plan=deployed(
            CRAWLER,
            lambda: {"resources": {"limits": {"memory": "24Mi"}, "requests": {"memory": "24Mi"}}},
            at_once=True,
            becomes_ready=False,
        ),
        hops=("web-crawler",),
        causes=("out-of-memory",),
        hints=(
            "Tasks are accepted and stay new.",
            "A pod restarts. The cluster knows how its container ended.",
            "kubectl -n tracing describe pod of the crawler: the reason of the last state, and the limits.",
        ),
        evidence=Evidence(
            dashboard="Services",
            panel="Pods up",
            query='(sum(up{job="web-crawler"}) or vector(0)) == 0',
            trace="New traces end at the message to requests-web-crawl. The container ended with OOMKilled.",
            runbook="ServiceDown",
        ),
        undo=_ORIGINAL_POD,
        alerts=frozenset({"ServiceDown", "CrashLoop"}),
    ),
}
