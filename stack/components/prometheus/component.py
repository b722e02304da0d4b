"""Prometheus: scrapes the services, the Collectors' own metrics and their span metrics."""

import re
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, http, metrics, versions
from dashboards.config import MonitoringConfig
from dashboards.rules import groups, rule_file
from stack.components.shared import workload
from stack.components.trace_store import tempo
from stack.settings import Settings

_UID: Final = 65534
_CONFIG: Final = "/etc/prometheus"
_DATA: Final = "/prometheus"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Pods that serve the same metrics, by their names."""

    job: str
    pods: tuple[str, ...]
    port: int
    path: str = "/metrics"
    samples: int = 5_000
    """The most that one scrape of one pod may bring. Over it, Prometheus refuses the whole scrape, and the pod counts
    as down. A pod that makes series without end would fill Prometheus' memory, and all others would be lost too."""
    tracks: bool = False
    """Two versions of it can run side by side: the label `track` says which one a pod is."""


TARGETS: Final = (
    *(
        Target(
            job=name,
            pods=(name, endpoints.canary(name)),
            port=endpoints.SERVICE_PORT,
            path=http.METRICS,
            samples=2_000,  # about 250 in use
            tracks=True,
        )
        for name in endpoints.SERVICES
    ),
    Target(job="collector", pods=(endpoints.COLLECTOR,), port=endpoints.COLLECTOR_TELEMETRY_PORT),
    Target(
        job=metrics.SPAN_METRICS_JOB,
        pods=(endpoints.COLLECTOR,),
        port=endpoints.COLLECTOR_SPAN_METRICS_PORT,
        # 17 a combination of its dimensions, of which the Collector keeps at most 5,000 a service.
        samples=100_000,
    ),
)

# The name that led to a pod says which version it is; that of the canary exists only while there is one.
_TRACKS: Final = [
    {"target_label": "track", "replacement": "baseline"},
    {
        "source_labels": ["__meta_dns_name"],
        "regex": rf"[^.]+{re.escape(endpoints.pods(endpoints.canary('')))}\..*",
        "target_label": "track",
        "replacement": "canary",
    },
]


def prometheus_config(settings: Settings) -> dict[str, Any]:
    """Prometheus' configuration.

    Pods are found through the A records of headless Services: every replica is a target of its own, a missing one is
    missed, and Prometheus needs no right to ask the API server.
    """
    pods, port = {
        "tempo": (tempo.pods(settings.traces), endpoints.TEMPO_HTTP_PORT),
        "jaeger": ((endpoints.JAEGER,), endpoints.JAEGER_TELEMETRY_PORT),
    }[settings.traces.backend]
    store = Target(job=metrics.TRACE_STORE_JOB, pods=pods, port=port, samples=20_000)
    sampler = Target(job="sampler", pods=(endpoints.SAMPLER,), port=endpoints.COLLECTOR_TELEMETRY_PORT)
    stored_spans = Target(
        job=metrics.STORED_SPANS_JOB, pods=(endpoints.SAMPLER,), port=endpoints.COLLECTOR_SPAN_METRICS_PORT
    )
    samplers = (sampler, stored_spans) if settings.collector.sampling else ()
    queueing = (endpoints.COLLECTOR, *((endpoints.SAMPLER,) if samplers else ()))
    guard = Target(job="queue-guard", pods=queueing, port=endpoints.QUEUE_GUARD_PORT)
    log_store = Target(job=metrics.LOG_STORE_JOB, pods=(endpoints.LOKI,), port=endpoints.LOKI_PORT, samples=20_000)
    log_stores = (log_store,) if settings.logs.enabled else ()
    alertmanager = Target(job="alertmanager", pods=(endpoints.ALERTMANAGER,), port=endpoints.ALERTMANAGER_PORT)
    alertmanagers = (alertmanager,) if settings.alerting.enabled else ()
    seconds = settings.metrics.scrape_interval_seconds
    interval = f"{seconds}s"

    def found(target: Target) -> dict[str, Any]:
        """How its pods are found."""
        # The trailing dot: one question to the DNS instead of one for every search domain.
        names = [f"{endpoints.pods(name)}.{settings.cluster.namespace}.svc.cluster.local." for name in target.pods]
        return {"names": names, "type": "A", "port": target.port, "refresh_interval": interval}

    return {
        "global": {
            "scrape_interval": interval,
            "evaluation_interval": interval,
            "scrape_timeout": f"{min(seconds, 10)}s",
            "external_labels": {"environment": settings.environment},
        },
        "rule_files": [f"{_CONFIG}/rules.yml"],
        **(
            {"alerting": {"alertmanagers": [{"dns_sd_configs": [found(alertmanager)]}]}}
            if settings.alerting.enabled
            else {}
        ),
        # What waited in a Collector's queue comes late.
        "storage": {"tsdb": {"out_of_order_time_window": "1h"}},
        "scrape_configs": [
            {
                "job_name": target.job,
                "metrics_path": target.path,
                "sample_limit": target.samples,
                # The span metrics carry the service that they are about in labels of their own.
                "honor_labels": target.job in (metrics.SPAN_METRICS_JOB, metrics.STORED_SPANS_JOB),
                "dns_sd_configs": [found(target)],
                **({"relabel_configs": _TRACKS} if target.tracks else {}),
            }
            for target in (*TARGETS, *samplers, guard, store, *log_stores, *alertmanagers)
        ]
        + [
            {
                "job_name": "prometheus",
                "sample_limit": 5_000,
                "static_configs": [{"targets": [f"localhost:{endpoints.PROMETHEUS_PORT}"]}],
            }
        ],
    }


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    namespace: pulumi.Input[str]
    settings: Settings
    monitoring: MonitoringConfig


class Prometheus(pulumi.ComponentResource):
    """One Prometheus on its own volume."""

    url: pulumi.Output[str]
    otlp_url: pulumi.Output[str]
    """URL that takes OTLP metrics over HTTP, without `/v1/metrics`."""

    def __init__(self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Prometheus", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings.metrics
        files = {
            "prometheus.yml": yaml.safe_dump(prometheus_config(args.settings), sort_keys=False),
            "rules.yml": rule_file(groups(args.monitoring), args.settings.grafana.url),
        }
        config = workload.config_map("prometheus-config", "metrics", args.namespace, files, child)
        pod = workload.Pod(
            name=endpoints.PROMETHEUS,
            component="metrics",
            image=versions.PROMETHEUS,
            user=_UID,
            size=settings,
            ports={"http": endpoints.PROMETHEUS_PORT},
            args=[
                f"--config.file={_CONFIG}/prometheus.yml",
                f"--storage.tsdb.path={_DATA}/tsdb",
                f"--storage.tsdb.retention.time={args.settings.retention}",
                # The extra metrics hold each target's limit of samples, for the alert SamplesNearLimit.
                "--enable-feature=exemplar-storage,extra-scrape-metrics",
                "--web.enable-otlp-receiver",
            ],
            files={_CONFIG: config.metadata.name},
            configuration=files,
            data=_DATA,
            readiness=workload.http_probe("/-/ready", endpoints.PROMETHEUS_PORT),
            liveness=workload.http_probe("/-/healthy", endpoints.PROMETHEUS_PORT),
            grace_seconds=60,
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, settings.volume, args.settings.cluster.storage_class, child)
        self.url = pulumi.Output.from_input(endpoints.url(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT))
        self.otlp_url = self.url.apply(lambda url: f"{url}/api/v1/otlp")
        self.register_outputs({"url": self.url, "otlp_url": self.otlp_url})
