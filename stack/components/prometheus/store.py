"""The metric store of a stack: its own Prometheus, or one that it did not build."""

from dataclasses import dataclass

import pulumi

from contracts import secret_keys
from dashboards.rules import groups, rule_file
from stack.components.prometheus.component import Prometheus, PrometheusArgs
from stack.components.prometheus.operator import OperatorObjects, OperatorObjectsArgs
from stack.components.prometheus.settings import ExternalMetrics
from stack.components.shared.object_meta import config_map
from stack.components.shared.store import QueryApi, query_access


@dataclass(frozen=True, kw_only=True)
class MetricStore:
    """Where metrics and queries go."""

    otlp_urls: pulumi.Input[list[str]]
    """URLs that accept OTLP metrics over HTTP; empty if the store scrapes, and accepts none."""
    queries: QueryApi


def metric_store(args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> MetricStore:
    """Return the addresses of the metric store; create it, or what an external one needs."""
    external = args.settings.external
    if external is None:
        prometheus = Prometheus("prometheus", args, opts)
        return MetricStore(otlp_urls=prometheus.otlp_urls, queries=QueryApi(url=prometheus.url))
    _rules_and_monitors(external, args, opts)
    access = query_access(external, secret_keys.METRICS_QUERY_AUTHORIZATION)
    queries = QueryApi(url=external.query_url, access=access)
    otlp_urls: pulumi.Input[list[str]] = Prometheus("prometheus", args, opts).otlp_urls if external.remote_write else []
    return MetricStore(otlp_urls=otlp_urls, queries=queries)


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
