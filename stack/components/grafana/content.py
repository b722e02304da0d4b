"""What Grafana shows of a stack: its datasources, and its dashboards and runbooks as files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints
from dashboards.catalog import RUNBOOK_FOLDER, TRACING_FOLDER, dashboards, runbooks
from dashboards.config import MonitoringConfig
from dashboards.datasources import datasources
from stack.components.shared.store import QueryAccess, QueryApi, without_repetition


@dataclass(frozen=True, kw_only=True)
class Content:
    """The facts of a stack on which they depend."""

    namespace: str | None
    """The stack's, for a Grafana that is outside of it; None for the stack's own."""
    monitoring: MonitoringConfig
    traces: QueryApi | None
    """None if the store only receives."""
    metrics: QueryApi
    logs: QueryApi | None
    """None if there is no log store, or it only receives."""
    alertmanager: QueryApi | None

    def access(self) -> dict[str, QueryAccess]:
        """Return uid of `endpoints` → what Grafana sends to the store, and trusts."""
        stores: dict[str, QueryApi | None] = {
            endpoints.TRACES_UID: self.traces,
            endpoints.PROMETHEUS_UID: self.metrics,
            endpoints.LOGS_UID: self.logs,
            endpoints.ALERTS_UID: self.alertmanager,
        }
        return {uid: store.access for uid, store in stores.items() if store}

    def uids(self) -> list[str]:
        """Return the uids of `endpoints` that the stack has a datasource for."""
        return list(self.access())

    def authorizations(self) -> dict[str, str]:
        """Return uid of `endpoints` → key of the secret that its store requires."""
        return {uid: access.authorization for uid, access in self.access().items() if access.authorization}

    def variables(self, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
        """Return the variables with the secrets of all stores."""
        return without_repetition(
            variable for access in self.access().values() for variable in access.variables(secret)
        )

    def datasources(
        self, authorizations: Mapping[str, pulumi.Input[str]] = MappingProxyType({})
    ) -> pulumi.Output[dict[str, Any]]:
        """Return the document of the datasources.

        Args:
            authorizations: key of a secret → what the document has in its place, by default a variable.
        """

        def document(values: Mapping[str, Any]) -> dict[str, Any]:
            urls = {name: self._reached(url) for name, url in values["urls"].items()}
            access = {
                uid: replace(store, ca=values["authorities"][uid]).grafana(values["authorizations"])
                for uid, store in self.access().items()
            }
            backend, names = self.monitoring.trace_backend, self.monitoring.names
            return datasources(backend=backend, access=access, names=names, **urls)

        urls = {
            "traces_url": self.traces.url if self.traces else None,
            "prometheus_url": self.metrics.url,
            "loki_url": self.logs.url if self.logs else None,
            "alertmanager_url": self.alertmanager.url if self.alertmanager else None,
        }
        authorities = {uid: store.ca for uid, store in self.access().items()}
        return pulumi.Output.all(urls=urls, authorizations=dict(authorizations), authorities=authorities).apply(
            document
        )

    def _reached(self, url: str | None) -> Any:
        return endpoints.from_outside(url, self.namespace) if url and self.namespace else url

    def folders(self) -> dict[str, dict[str, str]]:
        """Return title of a folder → name of a file → JSON model of a dashboard."""
        return {
            TRACING_FOLDER: _files(dashboards(self.monitoring)),
            RUNBOOK_FOLDER: _files(runbooks(self.monitoring)),
        }


def _files(models: Mapping[str, Any]) -> dict[str, str]:
    return {f"{uid}.json": json.dumps(model, indent=1, sort_keys=True) for uid, model in models.items()}
