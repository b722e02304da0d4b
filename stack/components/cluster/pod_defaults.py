"""Gives all pods the settings of their cluster: placement, priority class, secrets with which images are pulled.

The last two are names of objects that the cluster has. The stack creates no PriorityClass: these belong to the whole
cluster, so two stacks would overwrite each other's, and rights in one namespace do not include them. One transformation
sets all of it on all workloads, whichever component creates them.
"""

from collections.abc import Callable
from typing import Any, Final

import pulumi

from stack.components.cluster.place import place
from stack.components.shared.placement import StackPlacement
from stack.components.shared.workload import WORKLOAD_TYPES
from stack.kubernetes.settings import Cluster, PriorityClasses

_TASK_COMPONENTS: Final = frozenset({"service", "queue", "database"})
"""Components that handle tasks; all others observe them."""
_VIEWERS: Final = frozenset({"dashboards"})
"""Components without which nothing is lost, and no alert is missing."""
_SERVICE_ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"

Transformation = Callable[[pulumi.ResourceTransformationArgs], pulumi.ResourceTransformationResult | None]


def pod_defaults(cluster: Cluster, placement: StackPlacement) -> Transformation:
    """Return the transformation of all resources of a stack on this cluster."""

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ in WORKLOAD_TYPES:
            spec: Any = args.props["spec"]
            component = spec.template.metadata.labels["app.kubernetes.io/component"]
            spec.template.spec.priority_class_name = _priority_class(component, cluster.priority_classes)
            place(spec.template.spec, placement.of(component))
        elif args.type_ == _SERVICE_ACCOUNT and cluster.pull_secrets:
            secrets = [{"name": name} for name in cluster.pull_secrets]
            return pulumi.ResourceTransformationResult({**args.props, "image_pull_secrets": secrets}, args.opts)
        return None

    return transform


def _priority_class(component: str, priorities: PriorityClasses) -> str | None:
    if component in _TASK_COMPONENTS:
        return priorities.tasks
    if component in _VIEWERS:
        return priorities.dashboards or priorities.telemetry
    return priorities.telemetry
