"""The ServiceAccount of a workload: an identity of its own, which holds no token for the API server."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from stack.components.shared.object_meta import object_meta


def service_account(
    name: str,
    component: str,
    namespace: pulumi.Input[str],
    identity: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> k8s.core.v1.ServiceAccount:
    """A ServiceAccount named after its workload, so that a right given to one is given to no other.

    Args:
        name: the workload's.
        component: the workload's.
        namespace: the stack's.
        identity: annotations by which a cloud gives the pods rights of its own, to a bucket for example.
        opts: of the resource.
    """
    return k8s.core.v1.ServiceAccount(
        name,
        metadata=object_meta(name, namespace, component=component, annotations=identity),
        automount_service_account_token=False,
        opts=opts,
    )
