"""Grafana with its datasources, dashboards and runbooks provisioned; nothing is configured by hand."""

from collections.abc import Mapping
from typing import Final

import pulumi
import pulumi_kubernetes as k8s
import yaml

from contracts import endpoints, secret_keys, versions
from dashboards.catalog import HOME_DASHBOARD, RUNBOOK_FOLDER, TRACING_FOLDER, provider
from stack.components.encryption.clients import base_url
from stack.components.encryption.proxy.pod import listen_address, protect
from stack.components.grafana.address import address_variables, alive_path
from stack.components.grafana.args import GrafanaArgs
from stack.components.grafana.database import AUTHORITY, authority_files, database_variables
from stack.components.grafana.offline import OFFLINE
from stack.components.grafana.oidc import oidc_variables
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 472
_DATA: Final = "/var/lib/grafana"
_DATASOURCES: Final = "/etc/grafana/provisioning/datasources"
_PROVIDERS: Final = "/etc/grafana/provisioning/dashboards"
_FOLDERS: Final = {TRACING_FOLDER: "/etc/grafana/dashboards", RUNBOOK_FOLDER: "/etc/grafana/runbooks"}
"""Folder in Grafana → mount path of its dashboards."""


class Grafana(pulumi.ComponentResource):
    """Grafana; user `admin`, password from the stack's Secret."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Grafana", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        sources = args.content.datasources().apply(lambda document: yaml.safe_dump(document, sort_keys=False))
        providers = yaml.safe_dump(provider(_FOLDERS), sort_keys=False)

        def make(kind: str, files: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
            made = config_map(f"grafana-{kind}", "dashboards", args.namespace, files, child)
            return made.metadata.name

        folders = args.content.folders()
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
                    _FOLDERS[TRACING_FOLDER]: make("tracing", folders[TRACING_FOLDER]),
                    _FOLDERS[RUNBOOK_FOLDER]: make("runbooks", folders[RUNBOOK_FOLDER]),
                    **({AUTHORITY: make("database", authority)} if authority else {}),
                },
                # Grafana reads changed dashboards by itself.
                configuration=[sources, {"providers.yaml": providers}, *([authority] if authority else [])],
                data=_DATA,
            ),
            probes=Probes(
                readiness=http_probe(endpoints.GRAFANA_HEALTH, endpoints.GRAFANA_PORT),
                liveness=http_probe(alive_path(args.settings.url), endpoints.GRAFANA_PORT),
            ),
        )
        pod = protect(pod, args.protection, child)
        services(pod, args.namespace, child, annotations=args.service_annotations)
        volume = Volume(size=args.settings.volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=args.settings.replicas)
        self.url = pulumi.Output.from_input(base_url(endpoints.GRAFANA, endpoints.GRAFANA_PORT, args.protection))
        self.register_outputs({"url": self.url})


def _environment(args: GrafanaArgs) -> list[k8s.core.v1.EnvVarArgs]:
    settings, secret = args.settings, args.secret
    return [
        *variables(
            **({"GF_SERVER_HTTP_ADDR": listen_address(args.protection)} if args.protection else {}),
            GF_AUTH_ANONYMOUS_ENABLED=False,
            GF_USERS_ALLOW_SIGN_UP=False,
            **address_variables(settings.url),
            GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH=f"{_FOLDERS[TRACING_FOLDER]}/{HOME_DASHBOARD}.json",
            GF_ANALYTICS_REPORTING_ENABLED=False,
            **({} if settings.internet else OFFLINE),
        ),
        secret_variable("GF_SECURITY_ADMIN_PASSWORD", secret_keys.GRAFANA_ADMIN_PASSWORD, secret),
        *args.content.variables(secret),
        *(oidc_variables(settings.oidc, secret) if settings.oidc else []),
        *(database_variables(settings.database, secret) if settings.database else []),
    ]
