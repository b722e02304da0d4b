"""Objects of the Prometheus Operator: what your Prometheus scrapes, and the rules that it evaluates."""

from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, secret_keys
from contracts.metadata import AUTHORITY, AUTHORITY_FILE, PART_OF, SKIP_AWAIT, TEMPORARY_TRACKS, TRACK
from contracts.metrics import WORKLOAD
from dashboards.config import MonitoringConfig
from dashboards.rules import groups, rule_document
from stack.components.prometheus.config import Scraping
from stack.components.prometheus.settings import ObjectLabels
from stack.components.shared.object_meta import object_meta
from stack.components.shared.scrape import ScrapeTarget

API_VERSION: Final = "monitoring.coreos.com/v1"
_COMPONENT: Final = "metrics"


@dataclass(frozen=True, kw_only=True)
class OperatorObjectsArgs:
    namespace: pulumi.Input[str]
    pod_monitors: ObjectLabels | None
    rules: ObjectLabels | None
    scraping: Scraping
    monitoring: MonitoringConfig
    grafana_url: str


class OperatorObjects(pulumi.ComponentResource):
    """A PodMonitor for each job, and one PrometheusRule."""

    names: pulumi.Output[list[str]]
    """Of the objects."""

    def __init__(self, name: str, args: OperatorObjectsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:OperatorObjects", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        targets = args.scraping.targets if args.pod_monitors else ()
        for target in targets:
            _custom("PodMonitor", target.job, args.pod_monitors, pod_monitor(target, args.scraping), args, child)
        if args.rules:
            rules = rule_document(groups(args.monitoring), args.grafana_url, args.scraping.yours, args.monitoring.names)
            _custom("PrometheusRule", "rules", args.rules, rules, args, child)
        self.names = pulumi.Output.from_input([*(target.job for target in targets), *(["rules"] if args.rules else [])])
        self.register_outputs({"names": self.names})


def _custom(
    kind: str,
    name: str,
    labels: ObjectLabels | None,
    spec: dict[str, Any],
    args: OperatorObjectsArgs,
    opts: pulumi.ResourceOptions,
) -> None:
    metadata = object_meta(
        name,
        args.namespace,
        component=_COMPONENT,
        annotations=SKIP_AWAIT,
        extra_labels=labels.labels if labels else None,
    )
    k8s.apiextensions.CustomResource(
        f"{kind.lower()}-{name}", api_version=API_VERSION, kind=kind, metadata=metadata, spec=spec, opts=opts
    )


def _access(target: ScrapeTarget) -> dict[str, Any]:
    if not target.encrypted:
        return {}
    ca = {"name": AUTHORITY, "key": AUTHORITY_FILE}
    token = {"name": secret_keys.SECRET, "key": secret_keys.TELEMETRY_TOKEN}
    return {
        "scheme": "https",
        **({"authorization": {"credentials": token}} if target.needs_token else {}),
        "tlsConfig": {"ca": {"configMap": ca}, "serverName": endpoints.SCRAPED},
    }


def pod_monitor(target: ScrapeTarget, scraping: Scraping) -> dict[str, Any]:
    """Return the specification of a target's PodMonitor, with the job and the labels that the stack's own jobs have."""
    track = f"__meta_kubernetes_pod_label_{TRACK.replace('.', '_').replace('/', '_').replace('-', '_')}"
    tracks = [
        {"targetLabel": "track", "replacement": "stable"},
        {"sourceLabels": [track], "regex": "(.+)", "targetLabel": "track", "replacement": "$1"},
    ]
    workloads = [{"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "targetLabel": WORKLOAD}]
    suffixes = tuple(endpoints.track("", track) for track in TEMPORARY_TRACKS)
    names = [name for name in target.pods if not name.endswith(suffixes)]
    return {
        "selector": {
            "matchLabels": {"app.kubernetes.io/part-of": PART_OF},
            "matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": names}],
        },
        "sampleLimit": target.samples,
        "podMetricsEndpoints": [
            {
                "portNumber": target.port,
                "path": target.path,
                **_access(target),
                "interval": f"{scraping.interval_seconds}s",
                "scrapeTimeout": f"{min(scraping.interval_seconds, 10)}s",
                "honorLabels": target.honor_labels,
                "relabelings": [
                    {"targetLabel": "job", "replacement": target.job},
                    *(tracks if target.has_tracks else []),
                    *(workloads if target.has_workloads else []),
                ],
            }
        ],
    }
