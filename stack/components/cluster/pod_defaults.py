"""Gives all pods the settings of their cluster: the priority class, and the secrets with which images are pulled.

Both are names of objects that the cluster has. The stack creates no PriorityClass: these belong to the whole cluster,
so two stacks would overwrite each other's, and rights in one namespace do not include them. One transformation sets
both on all workloads, whichever component creates them.
"""

from collections.abc import Callable
from typing import Any, Final

import pulumi

from stack.components.shared.workload import WORKLOAD_TYPES
from stack.kubernetes.settings import Cluster

_TASK_COMPONENTS: Final = frozenset({"service", "queue", "database"})
"""Components that handle tasks; all others observe them."""
_SERVICE_ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"

Transformation = Callable[[pulumi.ResourceTransformationArgs], pulumi.ResourceTransformationResult | None]


def pod_defaults(cluster: Cluster) -> Transformation:
    """Return the transformation of all resources of a stack on this cluster."""
    priorities = cluster.priority_classes

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ in WORKLOAD_TYPES:
            spec: Any = args.props["spec"]
            handles_tasks = spec.template.metadata.labels["app.kubernetes.io/component"] in _TASK_COMPONENTS
            spec.template.spec.priority_class_name = priorities.tasks if handles_tasks else priorities.telemetry
        elif args.type_ == _SERVICE_ACCOUNT and cluster.pull_secrets:
            secrets = [{"name": name} for name in cluster.pull_secrets]
            return pulumi.ResourceTransformationResult({**args.props, "image_pull_secrets": secrets}, args.opts)
        return None

    return transform
