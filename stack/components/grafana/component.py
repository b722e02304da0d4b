"""Grafana with its datasources, dashboards and runbooks provisioned; nothing is configured by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, secret_keys, versions
from dashboards.catalog import dashboards, provider, runbooks
from dashboards.config import MonitoringConfig
from dashboards.datasources import datasources
from stack.components.secrets import component as secrets
from stack.components.shared import workload
from stack.settings import Settings

_UID: Final = 472
_DATA: Final = "/var/lib/grafana"
_DATASOURCES: Final = "/etc/grafana/provisioning/datasources"
_PROVIDERS: Final = "/etc/grafana/provisioning/dashboards"
_FOLDERS: Final = {"Tracing": "/etc/grafana/dashboards", "Runbooks": "/etc/grafana/runbooks"}


def _files(models: Mapping[str, Any]) -> dict[str, str]:
    return {f"{uid}.json": json.dumps(model, indent=1, sort_keys=True) for uid, model in models.items()}


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    settings: Settings
    monitoring: MonitoringConfig
    traces_url: pulumi.Input[str]
    prometheus_url: pulumi.Input[str]
    loki_url: pulumi.Input[str] | None
    alertmanager_url: pulumi.Input[str] | None


class Grafana(pulumi.ComponentResource):
    """One Grafana; user `admin`, password from the stack's Secret."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Grafana", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings.grafana
        text = pulumi.Output.all(
            traces=args.traces_url,
            prometheus=args.prometheus_url,
            loki=args.loki_url,
            alertmanager=args.alertmanager_url,
        ).apply(
            lambda urls: yaml.safe_dump(
                datasources(
                    backend=args.monitoring.trace_backend,
                    traces_url=urls["traces"],
                    prometheus_url=urls["prometheus"],
                    loki_url=urls["loki"],
                    alertmanager_url=urls["alertmanager"],
                ),
                sort_keys=False,
            )
        )
        config = workload.config_map(
            "grafana-datasources", "dashboards", args.namespace, {"datasources.yaml": text}, child
        )
        shown = {"Tracing": _files(dashboards(args.monitoring)), "Runbooks": _files(runbooks(args.monitoring))}
        providers = {"providers.yaml": yaml.safe_dump(provider(_FOLDERS), sort_keys=False)}

        def mounted(kind: str, files: Mapping[str, str]) -> pulumi.Output[str]:
            made = workload.config_map(f"grafana-{kind}", "dashboards", args.namespace, files, child)
            return made.metadata.name

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
                secrets.reference("GF_SECURITY_ADMIN_PASSWORD", secret_keys.GRAFANA_ADMIN_PASSWORD, args.secret),
            ],
            files={
                _DATASOURCES: config.metadata.name,
                _PROVIDERS: mounted("providers", providers),
                **{_FOLDERS[title]: mounted(title.lower(), files) for title, files in shown.items()},
            },
            # Grafana reads changed dashboards by itself.
            configuration=[text, providers],
            data=_DATA,
            readiness=workload.http_probe("/api/health", endpoints.GRAFANA_PORT),
            liveness=workload.http_probe("/api/health", endpoints.GRAFANA_PORT),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, settings.volume, args.settings.cluster.storage_class, child)
        self.url = pulumi.Output.from_input(endpoints.url(endpoints.GRAFANA, endpoints.GRAFANA_PORT))
        self.register_outputs({"url": self.url})
