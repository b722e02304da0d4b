"""The order in which objects are applied."""

from typing import Final

from contracts.metadata import Manifest
from contracts.services import SERVICES

KINDS: Final = (
    "Namespace",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "Service",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Certificate",
    "ObjectStore",
    "Cluster",
    "ScheduledBackup",
    "StatefulSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "BackendTLSPolicy",
    "HTTPRoute",
    "PodMonitor",
    "PrometheusRule",
    "GrafanaFolder",
    "GrafanaDatasource",
    "GrafanaDashboard",
)
"""A kind comes after the kinds that it needs; objects are deleted in the reverse order."""


def service_groups(manifests: list[Manifest]) -> list[list[Manifest]]:
    """Splits manifests into groups that are applied one after another: everything else first, then service by service.

    New pods of all services at once would take the CPU from the pods that serve. A service comes before the services
    that call it; `stack.components.services` gives Pulumi the same order.
    """
    ranks = {name: rank for rank, name in enumerate(reversed(SERVICES), 1)}

    def rank(manifest: Manifest) -> int:
        if manifest["kind"] != "Deployment":
            return 0
        # Both tracks of a service have this label in common.
        return ranks.get(manifest["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"], 0)

    return [group for turn in range(len(ranks) + 1) if (group := [item for item in manifests if rank(item) == turn])]
