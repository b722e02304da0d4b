"""Prometheus: scrapes and stores metrics, and evaluates the recording and alert rules."""

from dataclasses import dataclass
from typing import Final

import pulumi
import yaml

from contracts import endpoints, secret_keys, versions
from contracts.metadata import AUTHORITY
from dashboards.config import MonitoringConfig
from dashboards.rules import groups, rule_file
from stack.components.encryption.clients import base_url
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.config import LOOPBACK
from stack.components.encryption.proxy.pod import ProxyOptions, protect
from stack.components.prometheus.config import (
    AUTHORITY_FOLDER,
    CONFIG,
    POD_NAME,
    SECRETS,
    Scraping,
    agent_config,
    prometheus_config,
)
from stack.components.prometheus.settings import Metrics
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import field_variable
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import services
from stack.components.shared.storage import SecretFiles, Storage
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 65534
_DATA: Final = "/prometheus"


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the Secret with the credentials for remote write."""
    settings: Metrics
    retention: str
    storage_class: str | None
    scraping: Scraping
    monitoring: MonitoringConfig
    """Decides on the rules."""
    grafana_url: str
    """URL of Grafana for people; the alerts link to it."""
    protection: Protection | None = None


class Prometheus(pulumi.ComponentResource):
    """Prometheus pods that do the same work, each on its own volume.

    For an external metric store they run in agent mode: they scrape, and send all samples there.
    """

    url: pulumi.Output[str]
    otlp_urls: pulumi.Output[list[str]]
    """URL of each pod that accepts OTLP metrics over HTTP, without `/v1/metrics`."""

    def __init__(self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Prometheus", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        several = settings.replicas > 1
        files = _files(args)
        keys = [key for key in settings.needed_secrets if key == secret_keys.METRICS_WRITE_TOKEN]
        if args.protection:
            keys += [secret_keys.TELEMETRY_TOKEN]
        config = config_map("prometheus-config", "metrics", args.namespace, files, child)
        pod = Pod(
            name=endpoints.PROMETHEUS,
            component="metrics",
            user=_UID,
            container=Container(
                image=versions.PROMETHEUS,
                size=settings,
                ports={"http": endpoints.PROMETHEUS_PORT},
                args=[
                    f"--config.file={CONFIG}/prometheus.yml",
                    *_storage(args),
                    # The extra metrics contain each target's sample limit, for the alert SamplesNearLimit.
                    "--enable-feature=exemplar-storage,extra-scrape-metrics",
                    "--web.enable-otlp-receiver",
                    *([f"--web.listen-address={LOOPBACK}:{endpoints.PROMETHEUS_PORT}"] if args.protection else []),
                ],
                env=[field_variable(POD_NAME, "metadata.name")] if several else [],
            ),
            storage=Storage(
                config_maps={
                    CONFIG: config.metadata.name,
                    **({AUTHORITY_FOLDER: AUTHORITY} if args.scraping.needs_authority else {}),
                },
                configuration=files,
                secrets={SECRETS: SecretFiles(secret=args.secret, keys={key: key for key in keys})} if keys else {},
                data=_DATA,
            ),
            probes=Probes(
                readiness=http_probe(endpoints.PROMETHEUS_READY, endpoints.PROMETHEUS_PORT),
                liveness=http_probe(endpoints.PROMETHEUS_LIVE, endpoints.PROMETHEUS_PORT),
            ),
            shutdown=Shutdown(grace_seconds=60),
        )
        hosts = [endpoints.pod(endpoints.PROMETHEUS, number) for number in range(settings.replicas)]
        pod = protect(pod, args.protection, child, ProxyOptions(hosts=hosts))
        services(pod, args.namespace, child, one_pod_a_client=several)
        volume = Volume(size=settings.volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=settings.replicas)
        self.url = pulumi.Output.from_input(base_url(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT, args.protection))
        self.otlp_urls = pulumi.Output.from_input(
            [
                f"{base_url(host, endpoints.PROMETHEUS_PORT, args.protection)}/api/v1/otlp"
                for host in (hosts if several else [endpoints.PROMETHEUS])
            ]
        )
        self.register_outputs({"url": self.url, "otlp_urls": self.otlp_urls})


def _files(args: PrometheusArgs) -> dict[str, str]:
    external = args.settings.external
    if external and external.remote_write:
        agent = agent_config(args.scraping, external, external.remote_write)
        return {"prometheus.yml": yaml.safe_dump(agent, sort_keys=False)}
    return {
        "prometheus.yml": yaml.safe_dump(prometheus_config(args.scraping), sort_keys=False),
        "rules.yml": rule_file(groups(args.monitoring), args.grafana_url, names=args.monitoring.names),
    }


def _storage(args: PrometheusArgs) -> list[str]:
    if args.settings.external:
        return ["--agent", f"--storage.agent.path={_DATA}/agent"]
    return [f"--storage.tsdb.path={_DATA}/tsdb", f"--storage.tsdb.retention.time={args.retention}"]
