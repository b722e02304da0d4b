"""What a stack names and the cluster has to have: looked for before anything is changed."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import kubernetes

from contracts.metadata import Manifest
from stack.kubernetes.apply import DeployError
from stack.kubernetes.settings import Cluster

_ANSWER_SECONDS = 30
_METRICS: Final = ("metrics.k8s.io", "v1beta1")


def refuse_unknown_classes(client: kubernetes.client.ApiClient, cluster: Cluster) -> None:
    """Nothing if the cluster has the classes that the settings name, or if whoever deploys may not look.

    Raises:
        DeployError: names the setting and the class; without it no pod would be made, and no message say why.
    """
    priorities = kubernetes.client.SchedulingV1Api(client).read_priority_class
    storage = kubernetes.client.StorageV1Api(client).read_storage_class
    named: list[tuple[str, str | None, Callable[..., Any]]] = [
        ("cluster.priorityClasses.tasks", cluster.priority_classes.tasks, priorities),
        ("cluster.priorityClasses.telemetry", cluster.priority_classes.telemetry, priorities),
        ("cluster.storageClass", cluster.storage_class, storage),
    ]
    for key, name, read in named:
        if name is None:
            continue
        try:
            read(name, _request_timeout=_ANSWER_SECONDS)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                raise DeployError(
                    f"{key}: the cluster of context {cluster.context!r} has no {name!r}; nothing was changed"
                ) from None
            if error.status != 403:
                raise DeployError(f"{key}: {name!r} cannot be looked for: {error.reason}") from None


def missing_metrics(client: kubernetes.client.ApiClient, manifests: Iterable[Manifest]) -> list[str]:
    """A warning if an autoscaler is declared and the cluster does not say how busy its pods are.

    It is no refusal: a metrics server may come later, and the stack works without.
    """
    scaled = [item["metadata"]["name"] for item in manifests if item["kind"] == "HorizontalPodAutoscaler"]
    if not scaled:
        return []
    try:
        kubernetes.client.CustomObjectsApi(client).get_api_resources(*_METRICS, _request_timeout=_ANSWER_SECONDS)
    except kubernetes.client.ApiException as error:
        if error.status not in (404, 503):  # 503: it is registered, and nothing answers
            return []
        return [
            f"warning: the cluster serves no {'/'.join(_METRICS)} (a metrics server does), so the autoscaler of "
            f"{', '.join(scaled)} does not know how busy its pods are: their number stays as it is until one answers"
        ]
    return []
