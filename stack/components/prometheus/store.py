"""The metric store of a stack: its own Prometheus, or one that it did not build."""

from dataclasses import dataclass

import pulumi

from collector.pipeline import OtlpTarget
from contracts import secret_keys
from dashboards.rules import groups, rule_file
from stack.components.encryption.clients import otlp_target
from stack.components.encryption.clients import query_access as store_access
from stack.components.encryption.protection import Protection
from stack.components.prometheus.component import Prometheus, PrometheusArgs
from stack.components.prometheus.operator import OperatorObjects, OperatorObjectsArgs
from stack.components.prometheus.settings import ExternalMetrics
from stack.components.shared.object_meta import config_map
from stack.components.shared.store import QueryApi, query_access


@dataclass(frozen=True, kw_only=True)
class MetricStore:
    """Where metrics and queries go."""

    otlp: pulumi.Input[list[OtlpTarget]]
    """What accepts OTLP metrics over HTTP; empty if the store scrapes, and accepts none."""
    queries: QueryApi


def metric_store(args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> MetricStore:
    """Return the addresses of the metric store; create it, or what an external one needs."""
    external = args.settings.external
    if external is None:
        prometheus = Prometheus("prometheus", args, opts)
        queries = QueryApi(url=prometheus.url, access=store_access(args.protection))
        return MetricStore(otlp=_otlp(prometheus, args.protection), queries=queries)
    _rules_and_monitors(external, args, opts)
    access = query_access(external, secret_keys.METRICS_QUERY_AUTHORIZATION)
    queries = QueryApi(url=external.query_url, access=access)
    otlp: pulumi.Input[list[OtlpTarget]] = []
    if external.remote_write:
        otlp = _otlp(Prometheus("prometheus", args, opts), args.protection)
    return MetricStore(otlp=otlp, queries=queries)


def _otlp(prometheus: Prometheus, protection: Protection | None) -> pulumi.Output[list[OtlpTarget]]:
    return prometheus.otlp_urls.apply(
        lambda urls: pulumi.Output.all(*(otlp_target(OtlpTarget(url, "http"), protection) for url in urls))
    )


def _rules_and_monitors(external: ExternalMetrics, args: PrometheusArgs, opts: pulumi.ResourceOptions | None) -> None:
    if external.pod_monitors or external.rules:
        objects = OperatorObjectsArgs(
            namespace=args.namespace,
            pod_monitors=external.pod_monitors,
            rules=external.rules,
            scraping=args.scraping,
            monitoring=args.monitoring,
            grafana_url=args.grafana_url,
        )
        OperatorObjects("operator-objects", objects, opts)
    if external.rules is None:
        rules = rule_file(groups(args.monitoring), args.grafana_url, args.scraping.yours, args.monitoring.names)
        config_map(
            "prometheus-rules", "metrics", args.namespace, {"rules.yml": rules}, opts or pulumi.ResourceOptions()
        )
