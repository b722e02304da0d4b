"""What a stack names and the cluster has to have: looked for before anything is changed."""

from collections.abc import Callable
from typing import Any

import kubernetes

from stack.apply import DeployError
from stack.settings import Cluster

_ANSWER_SECONDS = 30


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
