"""Checks that the cluster has what a stack needs, before anything is changed."""

from collections.abc import Callable, Iterable
from typing import Final

import kubernetes

from contracts.metadata import Manifest
from stack.errors import DeployError
from stack.kubernetes.client import REQUEST_SECONDS
from stack.kubernetes.settings import Cluster

_METRICS_API: Final = ("metrics.k8s.io", "v1beta1")
_DEFINED_BY: Final = {
    "gateway.networking.k8s.io": "the Gateway API",
    "cert-manager.io": "cert-manager",
    "postgresql.cnpg.io": "CloudNativePG",
    "barmancloud.cnpg.io": "the Barman Cloud plugin of CloudNativePG",
    "monitoring.coreos.com": "the Prometheus Operator",
    "grafana.integreatly.org": "the Grafana Operator",
}
"""API group whose kinds are not part of Kubernetes → the project whose CustomResourceDefinitions it needs."""


def require_classes(client: kubernetes.client.ApiClient, cluster: Cluster) -> None:
    """Raises an error if the cluster lacks a PriorityClass or StorageClass that the settings name.

    Without it the cluster would create no pod, and no message would give the reason. A class that the user has no right
    to read is accepted.

    Raises:
        DeployError: Names the setting and the class.
    """

    # The client imports an API at its first use, so a stack without classes does without both.
    def read_priority_class(name: str) -> None:
        kubernetes.client.SchedulingV1Api(client).read_priority_class(name, _request_timeout=REQUEST_SECONDS)

    def read_storage_class(name: str) -> None:
        kubernetes.client.StorageV1Api(client).read_storage_class(name, _request_timeout=REQUEST_SECONDS)

    classes: list[tuple[str, str | None, Callable[[str], None]]] = [
        ("cluster.priorityClasses.tasks", cluster.priority_classes.tasks, read_priority_class),
        ("cluster.priorityClasses.telemetry", cluster.priority_classes.telemetry, read_priority_class),
        ("cluster.priorityClasses.dashboards", cluster.priority_classes.dashboards, read_priority_class),
        ("cluster.storageClass", cluster.storage_class, read_storage_class),
    ]
    for setting, name, read in classes:
        if name is None:
            continue
        try:
            read(name)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                raise DeployError(
                    f"{setting}: the cluster of context {cluster.context!r} has no {name!r}; nothing was changed"
                ) from None
            if error.status != 403:
                raise DeployError(f"{setting}: {name!r} cannot be read: {error.reason}") from None


def require_kinds(client: kubernetes.client.ApiClient, manifests: Iterable[Manifest]) -> None:
    """Raises an error if the cluster does not know the kind of an object that is not part of Kubernetes.

    Raises:
        DeployError: Names the kind, and what defines it.
    """
    kinds = {(item["apiVersion"], item["kind"]) for item in manifests}
    for api_version, kind in sorted(kinds):
        group, _, version = api_version.rpartition("/")
        if (project := _DEFINED_BY.get(group)) is None:
            continue
        try:
            api = kubernetes.client.CustomObjectsApi(client).get_api_resources(
                group, version, _request_timeout=REQUEST_SECONDS
            )
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise DeployError(f"the kinds of {api_version} cannot be read: {error.reason}") from None
        else:
            if kind in {resource.kind for resource in api.resources}:
                continue
        raise DeployError(
            f"the cluster has no kind {kind} of {api_version}; nothing was changed. It is defined by "
            f"{project}: install its CustomResourceDefinitions of that version"
        )


def metrics_warnings(client: kubernetes.client.ApiClient, manifests: Iterable[Manifest]) -> list[str]:
    """A warning if an autoscaler is declared and the cluster has no metrics server.

    It is no error: a metrics server may be installed later, and the stack works without one.
    """
    autoscalers = [item["metadata"]["name"] for item in manifests if item["kind"] == "HorizontalPodAutoscaler"]
    if not autoscalers:
        return []
    try:
        kubernetes.client.CustomObjectsApi(client).get_api_resources(*_METRICS_API, _request_timeout=REQUEST_SECONDS)
    except kubernetes.client.ApiException as error:
        if error.status not in (404, 503):  # 503: it is registered, and does not answer
            return []
        return [
            f"warning: the cluster does not serve {'/'.join(_METRICS_API)} (a metrics server does), so the autoscaler "
            f"of {', '.join(autoscalers)} does not know the load of its pods: their number stays as it is until one "
            "answers"
        ]
    return []
