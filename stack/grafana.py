"""Grafana with its datasources provisioned; nothing is configured by hand."""

from dataclasses import dataclass
from typing import Final

import pulumi
import yaml

from dashboards.datasources import datasources
from stack import endpoints, secrets, versions, workload
from stack.settings import Settings

_UID: Final = 472
_DATA: Final = "/var/lib/grafana"
_DATASOURCES: Final = "/etc/grafana/provisioning/datasources"


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    settings: Settings
    traces_url: pulumi.Input[str]
    prometheus_url: pulumi.Input[str]
    loki_url: pulumi.Input[str] | None


class Grafana(pulumi.ComponentResource):
    """One Grafana; user `admin`, password from the stack's Secret."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Grafana", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings.grafana
        text = pulumi.Output.all(traces=args.traces_url, prometheus=args.prometheus_url, loki=args.loki_url).apply(
            lambda urls: yaml.safe_dump(
                datasources(
                    backend=args.settings.traces.backend,
                    traces_url=urls["traces"],
                    prometheus_url=urls["prometheus"],
                    loki_url=urls["loki"],
                ),
                sort_keys=False,
            )
        )
        config = workload.config_map(
            "grafana-datasources", "dashboards", args.namespace, {"datasources.yaml": text}, child
        )
        pod = workload.Pod(
            name=endpoints.GRAFANA,
            component="dashboards",
            image=versions.GRAFANA,
            user=_UID,
            size=settings,
            ports={"http": endpoints.GRAFANA_PORT},
            env=[
                *workload.env(
                    GF_AUTH_ANONYMOUS_ENABLED=False,
                    GF_USERS_ALLOW_SIGN_UP=False,
                    GF_ANALYTICS_REPORTING_ENABLED=False,
                    GF_ANALYTICS_CHECK_FOR_UPDATES=False,
                    GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES=False,
                ),
                secrets.reference("GF_SECURITY_ADMIN_PASSWORD", secrets.GRAFANA_ADMIN_PASSWORD, args.secret),
            ],
            files={_DATASOURCES: config.metadata.name},
            configuration=text,
            data=_DATA,
            readiness=workload.http_probe("/api/health", endpoints.GRAFANA_PORT),
            liveness=workload.http_probe("/api/health", endpoints.GRAFANA_PORT),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, settings.volume, args.settings.cluster.storage_class, child)
        self.url = pulumi.Output.from_input(endpoints.url(endpoints.GRAFANA, endpoints.GRAFANA_PORT))
        self.register_outputs({"url": self.url})
