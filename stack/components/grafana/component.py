"""Grafana with its datasources, dashboards and runbooks provisioned; nothing is configured by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s
import yaml

from contracts import endpoints, secret_keys, versions
from dashboards.catalog import HOME_DASHBOARD, RUNBOOK_FOLDER, TRACING_FOLDER, dashboards, provider, runbooks
from dashboards.config import MonitoringConfig
from dashboards.datasources import datasources
from stack.components.grafana.address import address_variables
from stack.components.grafana.database import AUTHORITY, authority_files, database_variables
from stack.components.grafana.offline import OFFLINE
from stack.components.grafana.oidc import oidc_variables
from stack.components.grafana.settings import Grafana as GrafanaSettings
from stack.components.prometheus.store import MetricStore
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.store import StoreAddresses
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 472
_DATA: Final = "/var/lib/grafana"
_DATASOURCES: Final = "/etc/grafana/provisioning/datasources"
_PROVIDERS: Final = "/etc/grafana/provisioning/dashboards"
_FOLDERS: Final = {TRACING_FOLDER: "/etc/grafana/dashboards", RUNBOOK_FOLDER: "/etc/grafana/runbooks"}
"""Folder in Grafana → mount path of its dashboards."""


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the Secret with the password of `admin`."""
    settings: GrafanaSettings
    storage_class: str | None
    monitoring: MonitoringConfig
    """Decides on the dashboards."""
    traces: StoreAddresses
    metrics: MetricStore
    logs: StoreAddresses | None
    alertmanager_url: pulumi.Input[str] | None


class Grafana(pulumi.ComponentResource):
    """Grafana; user `admin`, password from the stack's Secret."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Grafana", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        sources = _datasources_file(args)
        providers = yaml.safe_dump(provider(_FOLDERS), sort_keys=False)

        def make(kind: str, files: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
            made = config_map(f"grafana-{kind}", "dashboards", args.namespace, files, child)
            return made.metadata.name

        authority = authority_files(args.settings.database) if args.settings.database else {}
        pod = Pod(
            name=endpoints.GRAFANA,
            component="dashboards",
            user=_UID,
            container=Container(
                image=versions.GRAFANA,
                size=args.settings,
                ports={"http": endpoints.GRAFANA_PORT},
                env=_environment(args),
            ),
            storage=Storage(
                config_maps={
                    _DATASOURCES: make("datasources", {"datasources.yaml": sources}),
                    _PROVIDERS: make("providers", {"providers.yaml": providers}),
                    _FOLDERS[TRACING_FOLDER]: make("tracing", _files(dashboards(args.monitoring))),
                    _FOLDERS[RUNBOOK_FOLDER]: make("runbooks", _files(runbooks(args.monitoring))),
                    **({AUTHORITY: make("database", authority)} if authority else {}),
                },
                # Grafana reads changed dashboards by itself.
                configuration=[sources, {"providers.yaml": providers}, *([authority] if authority else [])],
                data=_DATA,
            ),
            probes=Probes(
                readiness=http_probe(endpoints.GRAFANA_HEALTH, endpoints.GRAFANA_PORT),
                liveness=http_probe(endpoints.GRAFANA_HEALTH, endpoints.GRAFANA_PORT),
            ),
        )
        services(pod, args.namespace, child)
        volume = Volume(size=args.settings.volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=args.settings.replicas)
        self.url = pulumi.Output.from_input(endpoints.url(endpoints.GRAFANA, endpoints.GRAFANA_PORT))
        self.register_outputs({"url": self.url})


def _files(models: Mapping[str, Any]) -> dict[str, str]:
    return {f"{uid}.json": json.dumps(model, indent=1, sort_keys=True) for uid, model in models.items()}


def _datasources_file(args: GrafanaArgs) -> pulumi.Output[str]:
    backend = args.monitoring.trace_backend

    access = {
        uid: store.access.grafana()
        for uid, store in (
            (endpoints.TRACES_UID, args.traces),
            (endpoints.LOGS_UID, args.logs),
            (endpoints.PROMETHEUS_UID, args.metrics),
        )
        if store
    }

    def render(urls: Mapping[str, Any]) -> str:
        return yaml.safe_dump(datasources(backend=backend, access=access, **urls), sort_keys=False)

    return pulumi.Output.all(
        traces_url=args.traces.query_url,
        prometheus_url=args.metrics.query_url,
        loki_url=args.logs.query_url if args.logs else None,
        alertmanager_url=args.alertmanager_url,
    ).apply(render)


def _environment(args: GrafanaArgs) -> list[k8s.core.v1.EnvVarArgs]:
    settings, secret = args.settings, args.secret
    return [
        *variables(
            GF_AUTH_ANONYMOUS_ENABLED=False,
            GF_USERS_ALLOW_SIGN_UP=False,
            **address_variables(settings.url),
            GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH=f"{_FOLDERS[TRACING_FOLDER]}/{HOME_DASHBOARD}.json",
            GF_ANALYTICS_REPORTING_ENABLED=False,
            **({} if settings.internet else OFFLINE),
        ),
        secret_variable("GF_SECURITY_ADMIN_PASSWORD", secret_keys.GRAFANA_ADMIN_PASSWORD, secret),
        *args.traces.access.variables(secret),
        *args.metrics.access.variables(secret),
        *(args.logs.access.variables(secret) if args.logs else []),
        *(oidc_variables(settings.oidc, secret) if settings.oidc else []),
        *(database_variables(settings.database, secret) if settings.database else []),
    ]
