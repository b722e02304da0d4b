"""The cluster that a stack goes to: named by its settings, never the context that happens to be current."""

import pulumi_kubernetes as k8s

from stack.kubernetes.settings import Cluster


def provider(cluster: Cluster) -> k8s.Provider:
    """Kubernetes provider for the stack's context."""
    return k8s.Provider(
        "cluster",
        kubeconfig=cluster.kubeconfig,
        context=cluster.context,
        enable_server_side_apply=True,
        # Fixed names: a changed ConfigMap is updated in place and rolls its pods through their checksum annotation.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
    )
