"""What all pods take from the cluster that they run on: priority, and the right to pull images.

Both are names of what the cluster has. The stack makes no PriorityClass of its own: those belong to the whole cluster,
so two stacks on one would overwrite each other's, and whoever deploys into a namespace may not make any.
One transformation sets them on everything that runs, whichever component it is of.
"""

from collections.abc import Callable
from typing import Any, Final

import pulumi

from stack.kubernetes.settings import Cluster

TASK_COMPONENTS: Final = frozenset({"service", "queue", "database"})
"""Components that handle tasks; all others watch them."""

WORKLOADS: Final = ("kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:StatefulSet")
_ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"

Transformation = Callable[[pulumi.ResourceTransformationArgs], pulumi.ResourceTransformationResult | None]


def placement(cluster: Cluster) -> Transformation:
    """Transformation of the resources of a stack on this cluster."""
    priorities = cluster.priority_classes

    def place(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ in WORKLOADS:
            spec: Any = args.props["spec"]
            of_tasks = spec.template.metadata.labels["app.kubernetes.io/component"] in TASK_COMPONENTS
            spec.template.spec.priority_class_name = priorities.tasks if of_tasks else priorities.telemetry
        elif args.type_ == _ACCOUNT and cluster.pull_secrets:
            secrets = [{"name": name} for name in cluster.pull_secrets]
            return pulumi.ResourceTransformationResult({**args.props, "image_pull_secrets": secrets}, args.opts)
        return None

    return place
