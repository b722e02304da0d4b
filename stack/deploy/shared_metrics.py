"""Finds other stacks whose metrics the same Prometheus of a Prometheus Operator may scrape."""

from collections.abc import Iterable
from typing import Any, Final

import kubernetes

from contracts.metadata import PART_OF, Manifest
from stack.kubernetes.client import REQUEST_SECONDS

_GROUP: Final = ("monitoring.coreos.com", "v1")
_KINDS: Final = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
_OWN_LABELS: Final = "app.kubernetes.io/"


def shared_metrics_warnings(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]
) -> list[str]:
    """Return a warning if objects of another stack have the labels by which a Prometheus selects those of this one.

    It is no error: whether one Prometheus selects both namespaces is written in an object that the stack does not know.
    Without the right to list the objects of all namespaces, there is no warning.
    """
    selections = {(item["kind"], _selector(item)) for item in manifests if item["kind"] in _KINDS}
    others = sorted({other for kind, selector in selections for other in _namespaces(client, kind, selector)})
    if namespace in others:
        others.remove(namespace)
    if not others:
        return []
    return [
        f"warning: the stack in namespace {', '.join(others)} has objects with the same labels for the Prometheus "
        "Operator. If one Prometheus selects both, its queries and alerts add up the series of both: use a Prometheus "
        "for each stack (podMonitorNamespaceSelector, ruleNamespaceSelector), or other labels for each"
    ]


def _selector(manifest: Manifest) -> str:
    """Return a selector of the objects of all stacks that have the labels by which a Prometheus selects this one."""
    labels: dict[str, str] = manifest["metadata"]["labels"]
    selecting = {key: value for key, value in labels.items() if not key.startswith(_OWN_LABELS)}
    return ",".join(f"{key}={value}" for key, value in [(f"{_OWN_LABELS}part-of", PART_OF), *selecting.items()])


def _namespaces(client: kubernetes.client.ApiClient, kind: str, selector: str) -> list[str]:
    api: Any = kubernetes.client.CustomObjectsApi(client)
    try:
        listed = api.list_cluster_custom_object(
            *_GROUP, _KINDS[kind], label_selector=selector, _request_timeout=REQUEST_SECONDS
        )
    except kubernetes.client.ApiException:
        return []
    return [item["metadata"]["namespace"] for item in listed["items"]]
